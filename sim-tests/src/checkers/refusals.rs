//! A delivery whose handler did not start is deferred: its attempt does not count, and it waits for
//! a back-off. Its dispatcher claims nothing from its lane for the shortest of these back-offs. A
//! sync caller whose handler did not start gets `overloaded`, and may call again.

use super::terminal::applied;
use super::{Checker, Life, Observation, Snapshot};
use crate::probes::{Probe, Probes};
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::{Claim, ExecError, Fact, InboxId, Outcome, Request, Settlement, TriggerId, Verdict};

#[derive(Default)]
pub(super) struct Refusals {
    /// Claims whose last execution did not start.
    not_started: BTreeSet<Claim>,
    /// When the last rest of a lane began, for each life of a dispatcher.
    rested_at: BTreeMap<(Life, TriggerId), u64>,
    /// Callers whose handler did not start.
    callers: BTreeSet<InboxId>,
}

/// The shortest back-off: half of the default `gate_backoff_ms`.
const BACKOFF_MIN: u64 = 125_000;
/// The longest back-off: 32 times the default `gate_backoff_ms`, and half as much again.
const BACKOFF_MAX: u64 = 12_000_000;
/// The clock of a daemon and that of the checkers may differ by this much.
const CLOCK_STEP: u64 = 1_000;

impl Refusals {
    fn check_settlement(&mut self, settlement: &Settlement, probes: &mut Probes) -> Result<(), String> {
        if !self.not_started.contains(&settlement.claim) {
            return Ok(());
        }
        match &settlement.verdict {
            // A shutdown releases its rows without a delay.
            Verdict::Deferred { delay } if delay.0 == 0 || (BACKOFF_MIN..=BACKOFF_MAX).contains(&delay.0) => {
                probes.sometimes(Probe::RestedAgain, delay.0 > 3 * BACKOFF_MIN);
                Ok(())
            }
            Verdict::Executed { outcome, effects, .. }
                if outcome.error == Some(ExecError::Overloaded) && effects.is_empty() =>
            {
                probes.sometimes(Probe::CallNotStarted, true);
                // The next verdict about this claim is about the reply.
                self.not_started.remove(&settlement.claim);
                Ok(())
            }
            other => Err(format!("the handler of {} did not start, and its verdict is {other:?}", settlement.claim)),
        }
    }
}

impl Checker for Refusals {
    fn name(&self) -> &'static str {
        "refusals"
    }

    fn observe(
        &mut self,
        observation: &Observation<'_>,
        snapshot: &Snapshot<'_>,
        probes: &mut Probes,
    ) -> Result<(), String> {
        match observation {
            Observation::ExecutionStarted { delivery, .. } => _ = self.not_started.remove(&delivery.claim()),
            Observation::ExecutionEnded { claim, outcome: Some(Outcome::NotStarted { .. }), .. } => {
                self.not_started.insert(*claim);
            }
            Observation::Fact { of, fact: Fact::HandlerNotStarted { delivery, begins_rest, .. } } => {
                self.callers.extend(delivery.reply_to);
                if *begins_rest {
                    self.rested_at.insert((*of, delivery.trigger_id), snapshot.now);
                }
            }
            Observation::StoreCalled { of, request: Request::Exchange { claim, .. }, .. } => {
                let is_well = snapshot.trouble.iter().all(|trouble| trouble.until == 0);
                for quota in claim.iter().filter(|_| is_well) {
                    let rested_at = self.rested_at.get(&(*of, quota.trigger));
                    if rested_at.is_some_and(|at| snapshot.now + CLOCK_STEP < at + BACKOFF_MIN) {
                        return Err(format!("daemon {} claims from the resting lane {}", of.daemon, quota.trigger));
                    }
                }
            }
            Observation::StoreApplied { request, reply, .. } => {
                for settlement in applied(request, reply) {
                    self.check_settlement(settlement, probes)?;
                }
            }
            Observation::ReplyHandedOver { inbox, reply, .. } if self.callers.contains(inbox) => {
                let may_call_again = match &reply.result {
                    Err(failure) if failure.error == ExecError::Overloaded => failure.retry_after.is_some(),
                    // The lease of the call was lost.
                    Err(failure) => failure.error == ExecError::Lost,
                    Ok(_) => false,
                };
                if !may_call_again {
                    return Err(format!("caller {}, whose handler did not start, gets {:?}", inbox.seq, reply.result));
                }
            }
            Observation::LifeEnded { of } => self.rested_at.retain(|(life, _), _| life != of),
            _ => {}
        }
        Ok(())
    }
}
