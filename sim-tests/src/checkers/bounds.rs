//! After a drain the next timer is in the future, a drain has an end, and what is held has a bound.

use super::{Checker, Life, Observation, Snapshot};
use crate::probes::Probes;
use crate::world::{RENEWALS, SYNC_QUEUE_MAX};
use std::collections::BTreeMap;

/// More outputs than this between two inputs are a loop.
pub(crate) const STEPS_MAX: u32 = 20_000;
/// Store calls that a daemon may make within a simulated second: more is a question asked again and again.
const CALLS_PER_SECOND: u64 = 1_000;
/// How often a daemon may come to rest within a simulated second: more is a timer that nothing is done at.
const RESTS_PER_SECOND: u64 = 5_000;

#[derive(Default)]
pub(super) struct Bounds {
    calls: BTreeMap<Life, PerSecond>,
    rests: BTreeMap<Life, PerSecond>,
}

/// How often something happened within one second, and which.
#[derive(Default)]
struct PerSecond {
    second: u64,
    times: u64,
}

impl PerSecond {
    fn once_more(&mut self, now: u64) -> u64 {
        let second = now / 1_000_000;
        self.times = if self.second == second { self.times + 1 } else { 1 };
        self.second = second;
        self.times
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
                let calls = self.calls.entry(*of).or_default().once_more(snapshot.now);
                if calls > CALLS_PER_SECOND {
                    return Err(format!("daemon {} asks the store {calls} times in a second", of.daemon));
                }
            }
            Observation::Idle { of, view, now, wake_at, steps } => {
                if wake_at.is_some_and(|at| at <= *now) {
                    return Err(format!("daemon {} rests until a time that has passed", of.daemon));
                }
                if self.rests.entry(*of).or_default().once_more(snapshot.now) > RESTS_PER_SECOND {
                    return Err(format!("daemon {} wakes again and again, and does nothing", of.daemon));
                }
                if *steps >= STEPS_MAX {
                    return Err(format!("daemon {} never comes to rest", of.daemon));
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
