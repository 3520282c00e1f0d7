//! An estimate of the store's clock. Only latency depends on it: the store itself compares every
//! due time and every lease with its own clock.

use crate::time::{Mono, Timestamp};

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StoreClock {
    /// The store's clock in its last answer.
    store_now: Timestamp,
    /// When that answer arrived.
    at: Mono,
}

impl StoreClock {
    pub(super) fn set(&mut self, store_now: Timestamp, at: Mono) {
        *self = Self { store_now, at };
    }

    /// Whether the store has answered any call.
    pub(super) fn is_known(&self) -> bool {
        self.store_now > Timestamp::EPOCH
    }

    /// The store's clock now. The estimate is behind by the time that the last answer needed to
    /// arrive.
    pub(super) fn now(&self, now: Mono) -> Timestamp {
        self.store_now.plus(now.since(self.at))
    }

    /// The local time at which the store's clock will show `at`.
    pub(super) fn local(&self, at: Timestamp, now: Mono) -> Mono {
        now.plus(at.since(self.now(now)))
    }
}
