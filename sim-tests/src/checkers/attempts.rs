//! `attempt` grows by one with each claim, less the deferrals, and never exceeds `max_attempts` by
//! more than one. A delivery without attempts left is not retried. A dead letter for exhausted
//! attempts had all of them.

use super::terminal::applied;
use super::{Checker, Observation, Snapshot};
use crate::probes::{Probe, Probes};
use std::collections::BTreeMap;
use tidegate_core::{BeginCallsReply, DeadReason, Delivery, DeliveryId, ExchangeReply, ExecError, Reply, Verdict};

#[derive(Default)]
pub(super) struct Attempts {
    rows: BTreeMap<DeliveryId, Counted>,
}

#[derive(Clone, Copy)]
struct Counted {
    attempt: u32,
    allowed: u32,
}

impl Attempts {
    fn claimed(&mut self, row: &Delivery) -> Result<(), String> {
        let allowed = row.policy.max_attempts();
        let counted = self.rows.entry(row.id).or_insert(Counted { attempt: 0, allowed });
        let expected = (counted.attempt + 1).min(allowed + 1);
        counted.attempt = expected;
        if row.attempt != expected {
            return Err(format!("{} is claimed for attempt {}, expected {expected}", row.id, row.attempt));
        }
        Ok(())
    }
}

impl Checker for Attempts {
    fn name(&self) -> &'static str {
        "attempts"
    }

    fn observe(
        &mut self,
        observation: &Observation<'_>,
        snapshot: &Snapshot<'_>,
        probes: &mut Probes,
    ) -> Result<(), String> {
        match observation {
            Observation::StoreApplied { request, reply, .. } => {
                for settlement in applied(request, reply) {
                    let id = settlement.claim.delivery;
                    let Some(counted) = self.rows.get_mut(&id) else { continue };
                    match &settlement.verdict {
                        Verdict::Deferred { .. } => counted.attempt -= 1,
                        Verdict::Retry { .. } if counted.attempt >= counted.allowed => {
                            return Err(format!("{id} is tried again after {} attempts", counted.attempt));
                        }
                        Verdict::Dead { reason: DeadReason::AttemptsExhausted, attempts, failed, .. } => {
                            if *attempts != counted.allowed || counted.attempt < counted.allowed {
                                return Err(format!("{id} died after {attempts} attempts of {}", counted.allowed));
                            }
                            probes.sometimes(Probe::Exhausted, failed.is_some());
                            probes.sometimes(Probe::LostAtLastAttempt, failed.is_none());
                        }
                        _ => {}
                    }
                }
                match reply {
                    Reply::Exchange(ExchangeReply { claimed, .. }) => {
                        claimed.iter().try_for_each(|row| self.claimed(row))
                    }
                    Reply::BeginCalls(BeginCallsReply { deliveries: begun, .. }) => {
                        begun.iter().try_for_each(|row| self.claimed(row))
                    }
                    _ => Ok(()),
                }
            }
            Observation::ExecutionStarted { delivery, .. } if delivery.attempt > delivery.policy.max_attempts() => {
                Err(format!("{} is executed for attempt {}", delivery.id, delivery.attempt))
            }
            Observation::RunEnded => {
                for letter in snapshot.store.letters_after(tidegate_core::DeadLetterId(i64::MIN)) {
                    let denied = letter.failed.iter().filter(|one| one.error == ExecError::PrincipalDenied).count();
                    let told = letter.failed.len();
                    if letter.reason != DeadReason::PrincipalDenied && told != letter.attempts as usize {
                        return Err(format!("letter {} lists {told} attempts of {}", letter.id, letter.attempts));
                    }
                    probes.sometimes(Probe::PrincipalDenied, denied > 0);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
