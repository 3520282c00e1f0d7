//! Whether the store may be called: after a failure not before a back-off has passed, for all calls alike.

use crate::rng::{Purpose, RngKey};
use crate::store::{StoreError, StoreErrorKind};
use crate::time::{Micros, Mono};

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StoreHealth {
    failures: u32,
    since: Mono,
    blocked_until: Mono,
}

/// The first wait for a store that is away.
const BACKOFF_BASE: Micros = Micros::from_millis(50);
/// A deadlock's victim tries again almost at once.
const CONTENTION_BASE: Micros = Micros::from_millis(2);
/// No store is away so long that looking for it more often would hurt.
const BACKOFF_MAX: Micros = Micros::from_secs(2);

impl StoreHealth {
    /// A call failed. Returns how long no call is made.
    pub(super) fn failed(&mut self, error: &StoreError, key: RngKey, now: Mono) -> Micros {
        if self.failures == 0 {
            self.since = now;
        }
        self.failures = self.failures.saturating_add(1);
        let base = if error.kind == StoreErrorKind::Contention { CONTENTION_BASE } else { BACKOFF_BASE };
        let wait = base.saturating_mul(1 << (self.failures - 1).min(16)).min(BACKOFF_MAX);
        let nth = u64::from(self.failures);
        let retry_in = Micros(key.uniform(Purpose::StoreBackoff, now.0 as i64, nth, wait.0 / 2, wait.0 + wait.0 / 2));
        self.blocked_until = self.blocked_until.max(now.plus(retry_in));
        retry_in
    }

    /// A call was answered. Returns what it ended: so many failures, since then.
    pub(super) fn answered(&mut self, now: Mono) -> Option<(u32, Micros)> {
        let failures = std::mem::take(&mut self.failures);
        (failures > 0).then(|| (failures, now.since(self.since)))
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
