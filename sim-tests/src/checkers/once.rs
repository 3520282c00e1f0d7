//! The handler of a delivery with one permitted attempt begins once, and again only after
//! each conflict. So does a dead-letter handler. Neither begins again after a failure, a loss or a
//! shutdown.

use super::terminal::applied;
use super::{Checker, Observation, Snapshot};
use crate::probes::{Probe, Probes};
use std::collections::BTreeMap;
use tidegate_core::{Claim, DeadReason, DeliveryId, EventId, Fact, OpId, RetryPolicySpec, Verdict};

#[derive(Default)]
pub(super) struct Once {
    /// The deliveries whose handler begins once. A restore clears it: handlers of the lost history
    /// begin again, and the ids of its rows are given again.
    begins: BTreeMap<(DeliveryId, EventId), Begins>,
    executions: BTreeMap<OpId, (Claim, EventId)>,
}

#[derive(Default)]
struct Begins {
    handlers: u32,
    conflicts: u32,
}

impl Once {
    fn check_begin(&mut self, op: OpId, snapshot: &Snapshot<'_>) -> Result<(), String> {
        let begun = self.executions.remove(&op).filter(|(claim, _)| snapshot.survives(*claim));
        let Some((Claim { delivery: id, .. }, event)) = begun else { return Ok(()) };
        let Some(begins) = self.begins.get_mut(&(id, event)) else { return Ok(()) };
        begins.handlers += 1;
        if begins.handlers > 1 + begins.conflicts {
            let (times, conflicts) = (begins.handlers, begins.conflicts);
            return Err(format!("the handler of {id} begins for the {times}th time after {conflicts} conflicts"));
        }
        Ok(())
    }
}

impl Checker for Once {
    fn name(&self) -> &'static str {
        "once"
    }

    fn observe(
        &mut self,
        observation: &Observation<'_>,
        snapshot: &Snapshot<'_>,
        probes: &mut Probes,
    ) -> Result<(), String> {
        match observation {
            Observation::ExecutionStarted { op, delivery, .. } => {
                let has_one_attempt = RetryPolicySpec::from(delivery.policy).max_attempts == 1;
                if has_one_attempt || delivery.handles_letter.is_some() {
                    self.begins.entry((delivery.id, delivery.event.id)).or_default();
                    self.executions.insert(*op, (delivery.claim(), delivery.event.id));
                }
            }
            Observation::Restored => {
                self.begins.clear();
                self.executions.clear();
            }
            Observation::HandlerBegan { op } => return self.check_begin(*op, snapshot),
            Observation::Fact { fact: Fact::EffectsConflicted { delivery, .. }, .. } => {
                if let Some(begins) = self.begins.get_mut(&(delivery.id, delivery.event.id)) {
                    begins.conflicts += 1;
                }
            }
            Observation::StoreApplied { request, reply, .. } => {
                for settlement in applied(request, reply) {
                    let is_lost = matches!(settlement.verdict, Verdict::Dead { reason: DeadReason::Lost, .. });
                    let is_known = self.begins.keys().any(|(id, _)| *id == settlement.claim.delivery);
                    probes.sometimes(Probe::OnceLost, is_lost && is_known);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
