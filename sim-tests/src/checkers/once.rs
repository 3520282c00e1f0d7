//! The handler of a delivery with one permitted attempt begins once, and again only after
//! each conflict. So does a dead-letter handler. Neither begins again after a failure, a loss or a
//! shutdown.

use super::ledger::{Ledger, Restore};
use super::terminal::applied;
use super::{Checker, Observation, Snapshot};
use crate::probes::{Probe, Probes};
use std::collections::BTreeMap;
use tidegate_core::{DeadReason, DeliveryId, Fact, OpId, RetryPolicySpec, Verdict};

#[derive(Default)]
pub(super) struct Once {
    /// The deliveries whose handler begins once.
    begins: Ledger<BTreeMap<DeliveryId, Begins>>,
    executions: BTreeMap<OpId, DeliveryId>,
}

#[derive(Clone, Default)]
struct Begins {
    handlers: u32,
    conflicts: u32,
}

impl Once {
    fn check_begin(&mut self, op: OpId) -> Result<(), String> {
        let Some(id) = self.executions.remove(&op) else { return Ok(()) };
        let Some(begins) = self.begins.get_mut(&id) else { return Ok(()) };
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

    fn ledgers(&mut self) -> Vec<&mut dyn Restore> {
        vec![&mut self.begins]
    }

    fn observe(&mut self, observation: &Observation<'_>, _: &Snapshot<'_>, probes: &mut Probes) -> Result<(), String> {
        match observation {
            Observation::ExecutionStarted { op, delivery, .. } => {
                let has_one_attempt = RetryPolicySpec::from(delivery.policy).max_attempts == 1;
                if has_one_attempt || delivery.handles_letter.is_some() {
                    self.begins.entry(delivery.id).or_default();
                    self.executions.insert(*op, delivery.id);
                }
            }
            Observation::HandlerBegan { op } => return self.check_begin(*op),
            Observation::Fact { fact: Fact::EffectsConflicted { delivery, .. }, .. } => {
                if let Some(begins) = self.begins.get_mut(&delivery.id) {
                    begins.conflicts += 1;
                }
            }
            Observation::StoreApplied { request, reply, .. } => {
                for settlement in applied(request, reply) {
                    let is_lost = matches!(settlement.verdict, Verdict::Dead { reason: DeadReason::Lost, .. });
                    let is_known = self.begins.contains_key(&settlement.claim.delivery);
                    probes.sometimes(Probe::OnceLost, is_lost && is_known);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
