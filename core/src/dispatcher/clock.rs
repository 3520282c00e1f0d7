//! What the store's clock says now, estimated. Only latency depends on it: the store itself compares every due time
//! and every lease with its own clock.

use crate::time::{Mono, Timestamp};

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StoreClock {
    heard: Timestamp,
    at: Mono,
}

impl StoreClock {
    /// The store said `heard` in an answer that came at `at`.
    pub(super) fn hear(&mut self, heard: Timestamp, at: Mono) {
        *self = Self { heard, at };
    }

    /// Whether it has said anything yet.
    pub(super) fn is_known(&self) -> bool {
        self.heard > Timestamp::EPOCH
    }

    /// What it says now, a little late: an answer was on its way for a while.
    pub(super) fn now(&self, now: Mono) -> Timestamp {
        self.heard.plus(now.since(self.at))
    }

    /// When it will say `at`, on the local clock.
    pub(super) fn local(&self, at: Timestamp, now: Mono) -> Mono {
        now.plus(at.since(self.now(now)))
    }
}
