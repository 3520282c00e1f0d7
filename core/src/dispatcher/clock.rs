//! An estimate of the store's clock. Only latency depends on it: the store itself compares every
//! due time and every lease with its own clock.

use crate::time::{Micros, Mono, Timestamp};

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StoreClock {
    /// The store's clock in its last answer.
    store_now: Timestamp,
    /// When that answer arrived.
    at: Mono,
}

/// A store moves its due times if its clock was set back by more than a minute. Half of it allows
/// for the error of the estimate. An answer that took longer seems to be a clock that was set back;
/// this costs one discovery.
const SET_BACK_MIN: Micros = Micros::from_secs(30);

impl StoreClock {
    /// Applies the time in an answer. Returns whether the store's clock was set back so far that
    /// the store moves its due times.
    pub(super) fn set(&mut self, store_now: Timestamp, at: Mono) -> bool {
        let is_set_back = self.is_known() && self.now(at).since(store_now) >= SET_BACK_MIN;
        *self = Self { store_now, at };
        is_set_back
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
