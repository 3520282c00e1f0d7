//! Whether the store may be called. After a failure every kind of call waits for the same back-off.

use crate::rng::{Purpose, RngKey};
use crate::store::{StoreError, StoreErrorKind};
use crate::time::{Micros, Mono};

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StoreHealth {
    /// Failures without an answer between them.
    failures: u32,
    failing_since: Mono,
    blocked_until: Mono,
}

/// The first back-off for a store that cannot be reached. Each further failure doubles it.
const BACKOFF_BASE: Micros = Micros::from_millis(50);
/// A call that failed by a deadlock is repeated almost at once.
const CONTENTION_BASE: Micros = Micros::from_millis(2);
/// One call every 2 s does not overload a store that recovers.
const BACKOFF_MAX: Micros = Micros::from_secs(2);

impl StoreHealth {
    /// A call failed. Returns the back-off. Each failure doubles it, and the jitter is up to half
    /// of it in each direction.
    pub(super) fn failed(&mut self, error: &StoreError, key: RngKey, now: Mono) -> Micros {
        if self.failures == 0 {
            self.failing_since = now;
        }
        self.failures = self.failures.saturating_add(1);
        let base = if error.kind == StoreErrorKind::Contention { CONTENTION_BASE } else { BACKOFF_BASE };
        let wait = base.saturating_mul(1 << (self.failures - 1).min(16)).min(BACKOFF_MAX);
        let nth = u64::from(self.failures);
        let retry_in = Micros(key.uniform(Purpose::StoreBackoff, now.0 as i64, nth, wait.0 / 2, wait.0 + wait.0 / 2));
        self.blocked_until = self.blocked_until.max(now.plus(retry_in));
        retry_in
    }

    /// A call was answered. If calls failed before it, returns their number and the time since the
    /// first of them.
    pub(super) fn answered(&mut self, now: Mono) -> Option<(u32, Micros)> {
        let failures = std::mem::take(&mut self.failures);
        (failures > 0).then(|| (failures, now.since(self.failing_since)))
    }

    pub(super) fn may_call(&self, now: Mono) -> bool {
        now >= self.blocked_until
    }

    pub(super) fn blocked_until(&self, now: Mono) -> Option<Mono> {
        (!self.may_call(now)).then_some(self.blocked_until)
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures
    }
}
