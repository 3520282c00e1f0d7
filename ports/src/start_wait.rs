//! The time that an execution waits before its handler begins.

use std::sync::OnceLock;
use tidegate_core::Micros;
use tokio::time::Instant;

/// Measures the wait of one execution for the store and for a thread.
#[derive(Debug)]
pub struct StartWait {
    since: Instant,
    ended_at: OnceLock<Instant>,
}

impl StartWait {
    /// A wait that begins now, when the execution has a permit.
    #[must_use]
    pub fn begin() -> Self {
        Self { since: Instant::now(), ended_at: OnceLock::new() }
    }

    /// Ends the wait: the handler begins now. Further calls change nothing.
    pub fn end(&self) {
        self.end_at(Instant::now());
    }

    /// Ends the wait like [`Self::end`], for a handler that began at `began_at`.
    pub fn end_at(&self, began_at: Instant) {
        self.ended_at.get_or_init(|| began_at);
    }

    /// The length of the wait until now, or until its end.
    #[must_use]
    pub fn length(&self) -> Micros {
        let until = self.ended_at.get().copied().unwrap_or_else(Instant::now);
        Micros(u64::try_from(until.saturating_duration_since(self.since).as_micros()).unwrap_or(u64::MAX))
    }
}
