//! The times of the next renewal and of the next discovery.

use crate::time::{Micros, Mono};

#[derive(Clone, Debug)]
pub(super) struct UpkeepTimers {
    renew_at: Mono,
    discover_at: Mono,
    /// Rows may have arrived in lanes that no wake-up named. The next discovery is at
    /// `discover_soonest`, not at `discover_at`.
    discover_soon: bool,
    discover_soonest: Mono,
}

/// A pause of 100 times the duration of a discovery limits discoveries to 1 % of the store's time.
const DISCOVERY_PAUSE: u64 = 100;
/// A slow discovery is repeated at least this often.
const DISCOVERY_PAUSE_MAX: Micros = Micros::from_secs(5);
/// While wake-ups request discoveries, a pause of 4 times the duration limits them to 20 % of the
/// store's time.
const DISCOVERY_PAUSE_REQUESTED: u64 = 4;

impl UpkeepTimers {
    pub(super) fn new(now: Mono, renew_every: Micros) -> Self {
        Self { renew_at: now.plus(renew_every), discover_at: now, discover_soon: false, discover_soonest: now }
    }

    pub(super) fn next_renewal(&self) -> Mono {
        self.renew_at
    }

    pub(super) fn renew_after(&mut self, now: Mono, renew_every: Micros) {
        self.renew_at = now.plus(renew_every);
    }

    pub(super) fn renewal_failed(&mut self, now: Mono) {
        self.renew_at = now;
    }

    pub(super) fn next_discovery(&self) -> Mono {
        if self.discover_soon { self.discover_soonest.min(self.discover_at) } else { self.discover_at }
    }

    /// Requests a discovery before the poll interval is over.
    pub(super) fn request_discovery(&mut self) {
        self.discover_soon = true;
    }

    pub(super) fn discovery_sent(&mut self) {
        self.discover_soon = false;
    }

    /// A discovery of the duration `took` was answered.
    pub(super) fn discovery_answered(&mut self, now: Mono, took: Micros, poll_interval: Micros) {
        let pause = took.saturating_mul(DISCOVERY_PAUSE).min(DISCOVERY_PAUSE_MAX).max(poll_interval);
        let pause_requested = took.saturating_mul(DISCOVERY_PAUSE_REQUESTED).min(poll_interval);
        self.discover_at = now.plus(pause);
        self.discover_soonest = now.plus(pause_requested);
    }

    pub(super) fn discovery_failed(&mut self, now: Mono) {
        self.discover_at = now;
    }
}
