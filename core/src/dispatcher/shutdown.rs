//! The deadlines of a shutdown.

use crate::time::{Micros, Mono};

#[derive(Clone, Copy, Debug)]
pub(super) struct Shutdown {
    /// When running executions are cancelled.
    cancel_at: Mono,
    is_cancelled: bool,
    /// When the dispatcher stops even if the store has not answered the last settlements. The
    /// leases of their rows will expire.
    give_up_at: Mono,
    is_stopped: bool,
}

/// The longest time that a shutdown waits for the answers to its last settlements.
const LAST_SETTLEMENTS_MAX: Micros = Micros::from_secs(2);

impl Shutdown {
    pub(super) fn new(now: Mono, grace: Micros) -> Self {
        let cancel_at = now.plus(grace);
        Self { cancel_at, is_cancelled: false, give_up_at: cancel_at.plus(LAST_SETTLEMENTS_MAX), is_stopped: false }
    }

    /// The next deadline. `None` after the shutdown.
    pub(super) fn next_deadline(&self) -> Option<Mono> {
        match (self.is_stopped, self.is_cancelled) {
            (true, _) => None,
            (false, true) => Some(self.give_up_at),
            (false, false) => Some(self.cancel_at),
        }
    }

    /// Returns `true` once: when the running executions must be cancelled.
    pub(super) fn must_cancel(&mut self, now: Mono) -> bool {
        let is_due = !self.is_cancelled && now >= self.cancel_at;
        self.is_cancelled |= is_due;
        is_due
    }

    /// Stops if no work is left, or if the last deadline has passed.
    pub(super) fn advance(&mut self, now: Mono, is_idle: bool) {
        self.is_stopped = is_idle || now >= self.give_up_at;
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped
    }
}
