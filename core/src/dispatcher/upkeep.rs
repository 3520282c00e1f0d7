//! The times of the next renewal and of the next discovery.

use crate::config::Config;
use crate::names::TriggerId;
use crate::time::{Micros, Mono, Timestamp};
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
pub(super) struct UpkeepTimers {
    renew_at: Mono,
    discover_at: Mono,
    /// Rows may have arrived in lanes that no wake-up named. The next discovery is at
    /// `discover_soonest`, not at `discover_at`.
    discover_soon: bool,
    discover_soonest: Mono,
    /// The next ticks of the schedules that this dispatcher has ticked. A discovery at the time of
    /// a tick finds it without delay.
    ticks: BTreeMap<TriggerId, Timestamp>,
}

/// A pause of 100 times the duration of a discovery limits discoveries to 1 % of the store's time,
/// unless the pause reaches [`Config::DUE_WAIT_MAX`].
const DISCOVERY_PAUSE: u64 = 100;
/// While wake-ups request discoveries, a pause of 4 times the duration limits them to 20 % of the
/// store's time.
const DISCOVERY_PAUSE_REQUESTED: u64 = 4;

impl UpkeepTimers {
    pub(super) fn new(now: Mono, renew_every: Micros) -> Self {
        Self {
            renew_at: now.plus(renew_every),
            discover_at: now,
            discover_soon: false,
            discover_soonest: now,
            ticks: BTreeMap::new(),
        }
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

    /// The time of the next discovery, if the next known tick is due at `tick_at`.
    pub(super) fn next_discovery(&self, tick_at: Option<Mono>) -> Mono {
        let soon = if self.discover_soon { Some(self.discover_soonest) } else { None };
        let tick_at = tick_at.map(|at| at.max(self.discover_soonest));
        [soon, tick_at].into_iter().flatten().fold(self.discover_at, Mono::min)
    }

    /// The earliest known tick.
    pub(super) fn next_tick(&self) -> Option<Timestamp> {
        self.ticks.values().min().copied()
    }

    /// A schedule ticks next at `at`.
    pub(super) fn ticks_at(&mut self, trigger: TriggerId, at: Timestamp) {
        self.ticks.insert(trigger, at);
    }

    pub(super) fn forget_ticks(&mut self) {
        self.ticks.clear();
    }

    /// Requests a discovery before the poll interval is over.
    pub(super) fn request_discovery(&mut self) {
        self.discover_soon = true;
    }

    pub(super) fn discovery_sent(&mut self) {
        self.discover_soon = false;
    }

    /// A discovery of the duration `took` was answered. It has found all ticks up to `store_now`.
    pub(super) fn discovery_answered(&mut self, now: Mono, store_now: Timestamp, took: Micros, poll_interval: Micros) {
        self.ticks.retain(|_, at| *at > store_now);
        let pause = took.saturating_mul(DISCOVERY_PAUSE).min(Config::DUE_WAIT_MAX).max(poll_interval);
        let pause_requested = took.saturating_mul(DISCOVERY_PAUSE_REQUESTED).min(poll_interval);
        self.discover_at = now.plus(pause);
        self.discover_soonest = now.plus(pause_requested);
    }

    pub(super) fn discovery_failed(&mut self, now: Mono) {
        self.discover_at = now;
    }
}
