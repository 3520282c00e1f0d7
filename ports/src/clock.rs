//! The clock of a driver.

use tidegate_core::Mono;
use tokio::time::{Duration, Instant};

/// A monotonic clock that counts from the start of a dispatcher. A clock that runs too fast or too
/// slow costs latency and changes no result, because the store's clock decides about leases.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Mono;

    /// The moment on the runtime's clock when this clock shows `at`.
    fn when(&self, at: Mono) -> Instant;
}

/// The monotonic clock of the process.
#[derive(Clone, Copy, Debug)]
pub struct ProcessClock {
    started: Instant,
}

impl ProcessClock {
    /// A clock that shows zero now.
    #[must_use]
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for ProcessClock {
    fn now(&self) -> Mono {
        Mono(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn when(&self, at: Mono) -> Instant {
        self.started + Duration::from_micros(at.0)
    }
}
