//! A shutdown within its grace time leaves no claimed row behind: each one is settled, so that
//! another daemon need not wait for the end of its lease.

use super::{Checker, InputKind, Life, Observation, Snapshot};
use crate::app::SHUTDOWN;
use crate::probes::Probes;
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::{BeginCallsReply, Claim, ExchangeReply, Fact, Mono, Reply};

#[derive(Default)]
pub(super) struct Shutdown {
    lives: BTreeMap<Life, LifeState>,
}

#[derive(Default)]
struct LifeState {
    /// Claims that the dispatcher got, and neither settled nor lost.
    held: BTreeSet<Claim>,
    requested_at: Option<Mono>,
}

impl Checker for Shutdown {
    fn name(&self) -> &'static str {
        "shutdown"
    }

    fn observe(&mut self, observation: &Observation<'_>, _: &Snapshot<'_>, _: &mut Probes) -> Result<(), String> {
        match observation {
            Observation::StoreAnswered { of, result: Ok(reply), accepted: true, .. } => {
                let rows = match reply {
                    Reply::Exchange(ExchangeReply { claimed, .. }) => claimed,
                    Reply::BeginCalls(BeginCallsReply { deliveries, .. }) => deliveries,
                    _ => return Ok(()),
                };
                self.lives.entry(*of).or_default().held.extend(rows.iter().map(|row| row.claim()));
            }
            Observation::InlineClaim { of, claimed } => {
                self.lives.entry(*of).or_default().held.extend(claimed.iter().map(|row| row.claim()));
            }
            Observation::Fact {
                of,
                fact:
                    Fact::DeliverySettled { delivery, .. }
                    | Fact::SettlementFenced { delivery, .. }
                    | Fact::LeaseLost { delivery },
            } => _ = self.lives.entry(*of).or_default().held.remove(&delivery.claim()),
            Observation::InputHandled { of, input: InputKind::Shutdown, now, .. } => {
                self.lives.entry(*of).or_default().requested_at.get_or_insert(*now);
            }
            Observation::Stopped { of, now } => {
                let state = self.lives.entry(*of).or_default();
                let is_within_grace = state.requested_at.is_some_and(|at| *now < at.plus(SHUTDOWN));
                if let Some(claim) = state.held.first().filter(|_| is_within_grace) {
                    return Err(format!("daemon {} stops within its grace time and holds {claim}", of.daemon));
                }
            }
            Observation::LifeEnded { of } => _ = self.lives.remove(of),
            _ => {}
        }
        Ok(())
    }
}
