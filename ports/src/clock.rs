//! What a driver takes for the time.

use tidegate_core::Mono;
use tokio::time::{Duration, Instant};

/// A monotonic clock, from the beginning of a dispatcher's life. One that runs wrong costs latency and nothing else.
pub trait Clock: Send + Sync + 'static {
    /// What it reads.
    fn now(&self) -> Mono;

    /// When it will read `at`, by the runtime's clock.
    fn when(&self, at: Mono) -> Instant;
}

/// The process's own clock.
#[derive(Clone, Copy, Debug)]
pub struct ProcessClock {
    started: Instant,
}

impl ProcessClock {
    /// Reads zero now.
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
