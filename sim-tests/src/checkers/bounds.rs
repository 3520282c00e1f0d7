//! A drain of outputs ends, the next timer is in the future, and held state is bounded.

use super::{Checker, Life, Observation, Snapshot};
use crate::app::{RENEWALS, SYNC_QUEUE_MAX};
use crate::probes::Probes;
use std::collections::BTreeMap;

/// More outputs than this between two inputs are an endless loop.
pub(crate) const STEPS_MAX: u32 = 20_000;
/// The most store calls of a daemon in one simulated second. More means that it repeats a request.
const CALLS_PER_SECOND: u64 = 1_000;
/// The most idle periods of a daemon in one simulated second. More means that a timer does nothing.
const IDLE_PERIODS_PER_SECOND: u64 = 5_000;

#[derive(Default)]
pub(super) struct Bounds {
    calls: BTreeMap<Life, PerSecond>,
    idle_periods: BTreeMap<Life, PerSecond>,
}

/// A count within the current second.
#[derive(Default)]
struct PerSecond {
    second: u64,
    count: u64,
}

impl PerSecond {
    fn increment(&mut self, now: u64) -> u64 {
        let second = now / 1_000_000;
        self.count = if self.second == second { self.count + 1 } else { 1 };
        self.second = second;
        self.count
    }
}

impl Checker for Bounds {
    fn name(&self) -> &'static str {
        "bounds"
    }

    fn observe(
        &mut self,
        observation: &Observation<'_>,
        snapshot: &Snapshot<'_>,
        _: &mut Probes,
    ) -> Result<(), String> {
        match observation {
            Observation::StoreCalled { of, .. } => {
                let calls = self.calls.entry(*of).or_default().increment(snapshot.now);
                if calls > CALLS_PER_SECOND {
                    return Err(format!("daemon {} calls the store {calls} times in a second", of.daemon));
                }
            }
            Observation::Idle { of, view, now, wake_at, steps } => {
                if wake_at.is_some_and(|at| at <= *now) {
                    return Err(format!("daemon {} sets a timer in the past", of.daemon));
                }
                if self.idle_periods.entry(*of).or_default().increment(snapshot.now) > IDLE_PERIODS_PER_SECOND {
                    return Err(format!("daemon {} wakes repeatedly and does nothing", of.daemon));
                }
                if *steps >= STEPS_MAX {
                    return Err(format!("daemon {} never becomes idle", of.daemon));
                }
                let claimed = 2 * (snapshot.settings.batch_max.max(50) + 8);
                let most = (claimed + SYNC_QUEUE_MAX) * RENEWALS;
                if view.held > most || view.calls_waiting > most {
                    return Err(format!("daemon {} holds {} rows", of.daemon, view.held));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
