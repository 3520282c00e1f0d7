//! The store's clock. It follows the clock of the system, but it never goes back, and it starts at
//! the newest time in the file or later.

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

    pub(crate) fn now(&self) -> Timestamp {
        let system = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let system = i64::try_from(system).unwrap_or(i64::MAX);
        Timestamp(self.last.fetch_max(system, Ordering::Relaxed).max(system))
    }
}
