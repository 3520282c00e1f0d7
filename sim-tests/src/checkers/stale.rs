//! An answer is taken by the life that asked, once, and by nobody else.

use super::{Checker, Life, Observation, Snapshot};
use crate::probes::Probes;
use std::collections::BTreeMap;
use tidegate_core::{Disposition, OpId};

#[derive(Default)]
pub(super) struct Stale {
    /// The questions that are not answered yet, and who asked.
    asked: BTreeMap<OpId, Life>,
}

impl Checker for Stale {
    fn name(&self) -> &'static str {
        "stale"
    }

    fn observe(&mut self, observation: &Observation<'_>, _: &Snapshot<'_>, _: &mut Probes) -> Result<(), String> {
        match observation {
            Observation::StoreCalled { of, op: Some(op), .. } => match self.asked.insert(*op, *of) {
                Some(_) => Err(format!("{op:?} is asked twice")),
                None => Ok(()),
            },
            Observation::StoreAnswered { of, op, accepted, .. } => {
                let is_asked = self.asked.get(op) == Some(of);
                if is_asked {
                    self.asked.remove(op);
                }
                match (is_asked, accepted) {
                    (true, false) => Err(format!("daemon {} does not take the answer to its {op:?}", of.daemon)),
                    (false, true) => Err(format!("daemon {} takes an answer to {op:?}, not asked or twice", of.daemon)),
                    _ => Ok(()),
                }
            }
            Observation::InputHandled { disposition: Disposition::Accepted, for_another_life: true, .. } => {
                Err("an answer to a dead life was taken in".to_owned())
            }
            _ => Ok(()),
        }
    }
}
