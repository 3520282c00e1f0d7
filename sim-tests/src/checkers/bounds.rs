//! After a drain the next timer is in the future, a drain has an end, and what is held has a bound.

use super::{Checker, Life, Moment, Scene};
use crate::probes::Probes;
use crate::world::{RENEWALS, SYNC_QUEUE_MAX};
use std::collections::BTreeMap;

/// More outputs than this between two inputs are a loop.
pub(crate) const STEPS_MAX: u32 = 20_000;
/// Store calls that a daemon may make within a simulated second, of each kind one at a time.
const CALLS_PER_SECOND: u64 = 20_000;

#[derive(Default)]
pub(super) struct Bounds {
    calls: BTreeMap<Life, (u64, u64)>,
}

impl Checker for Bounds {
    fn name(&self) -> &'static str {
        "bounds"
    }

    fn see(&mut self, moment: &Moment<'_>, scene: &Scene<'_>, _: &mut Probes) -> Result<(), String> {
        match moment {
            Moment::Asks { of, .. } => {
                let second = scene.now / 1_000_000;
                let (at, calls) = self.calls.entry(*of).or_default();
                *calls = if *at == second { *calls + 1 } else { 1 };
                *at = second;
                if *calls > CALLS_PER_SECOND {
                    return Err(format!("daemon {} asks the store {calls} times in a second", of.daemon));
                }
            }
            Moment::Rests { of, view, steps, too_early } => {
                if *too_early {
                    return Err(format!("daemon {} rests until a time that has passed", of.daemon));
                }
                if *steps >= STEPS_MAX {
                    return Err(format!("daemon {} never comes to rest", of.daemon));
                }
                let claimed = 2 * (scene.settings.batch_max.max(50) + 8);
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
