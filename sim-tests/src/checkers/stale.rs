//! An answer is accepted once, and only by the incarnation that sent the request.

use super::{Checker, Life, Observation, Snapshot};
use crate::probes::Probes;
use std::collections::BTreeMap;
use tidegate_core::{Disposition, OpId};

#[derive(Default)]
pub(super) struct Stale {
    /// Requests without an answer.
    pending: BTreeMap<OpId, Life>,
}

impl Checker for Stale {
    fn name(&self) -> &'static str {
        "stale"
    }

    fn observe(&mut self, observation: &Observation<'_>, _: &Snapshot<'_>, _: &mut Probes) -> Result<(), String> {
        match observation {
            Observation::StoreCalled { of, op: Some(op), .. } => match self.pending.insert(*op, *of) {
                Some(_) => Err(format!("{op:?} is sent twice")),
                None => Ok(()),
            },
            Observation::StoreAnswered { of, op, accepted, .. } => {
                let is_pending = self.pending.get(op) == Some(of);
                if is_pending {
                    self.pending.remove(op);
                }
                match (is_pending, accepted) {
                    (true, false) => Err(format!("daemon {} does not accept the answer to its {op:?}", of.daemon)),
                    (false, true) => Err(format!(
                        "daemon {} accepts an answer to {op:?} that it did not request or already has",
                        of.daemon
                    )),
                    _ => Ok(()),
                }
            }
            Observation::InputHandled { disposition: Disposition::Accepted, for_another_life: true, .. } => {
                Err("an answer to an earlier life was accepted".to_owned())
            }
            _ => Ok(()),
        }
    }
}
