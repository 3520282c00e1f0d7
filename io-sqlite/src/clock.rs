//! The store's clock. It follows the clock of the system, but it never goes back, and it starts
//! after the newest time in the file.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use tidegate_core::Timestamp;

#[derive(Debug, Default)]
pub(crate) struct Clock {
    last: AtomicI64,
}

impl Clock {
    pub(crate) fn not_before(earliest: Timestamp) -> Self {
        Self { last: AtomicI64::new(earliest.0) }
    }

    /// The time for a reader.
    pub(crate) fn now(&self) -> Timestamp {
        let system = system_us();
        Timestamp(self.last.fetch_max(system, Ordering::Relaxed).max(system))
    }

    /// A time that no earlier call has returned, neither this one nor [`Clock::now`]. It is the
    /// time of a job, or the number of a claim.
    pub(crate) fn tick(&self) -> Timestamp {
        let system = system_us();
        let next = |last: i64| Some(last.saturating_add(1).max(system));
        let last = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        Timestamp(last.map_or(system, |last| last.saturating_add(1).max(system)))
    }
}

fn system_us() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX)
}
