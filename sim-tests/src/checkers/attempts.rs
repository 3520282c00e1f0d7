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
    rows: BTreeMap<DeliveryId, AttemptCount>,
}

#[derive(Clone, Copy)]
struct AttemptCount {
    attempt: u32,
    allowed: u32,
}

impl Attempts {
    fn check_claim(&mut self, row: &Delivery) -> Result<(), String> {
        let allowed = row.policy.max_attempts();
        let count = self.rows.entry(row.id).or_insert(AttemptCount { attempt: 0, allowed });
        let expected = (count.attempt + 1).min(allowed + 1);
        count.attempt = expected;
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
                    let Some(count) = self.rows.get_mut(&id) else { continue };
                    match &settlement.verdict {
                        Verdict::Deferred { .. } => count.attempt -= 1,
                        Verdict::Retry { .. } if count.attempt >= count.allowed => {
                            return Err(format!("{id} is tried again after {} attempts", count.attempt));
                        }
                        Verdict::Dead { reason: DeadReason::AttemptsExhausted, attempts, failed, .. } => {
                            if *attempts != count.allowed || count.attempt < count.allowed {
                                return Err(format!("{id} died after {attempts} attempts of {}", count.allowed));
                            }
                            probes.sometimes(Probe::Exhausted, failed.is_some());
                            probes.sometimes(Probe::LostAtLastAttempt, failed.is_none());
                        }
                        _ => {}
                    }
                }
                match reply {
                    Reply::Exchange(ExchangeReply { claimed, .. }) => {
                        claimed.iter().try_for_each(|row| self.check_claim(row))
                    }
                    Reply::BeginCalls(BeginCallsReply { deliveries, .. }) => {
                        deliveries.iter().try_for_each(|row| self.check_claim(row))
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
                    let failed_count = letter.failed.len();
                    if letter.reason != DeadReason::PrincipalDenied && failed_count != letter.attempts as usize {
                        return Err(format!(
                            "letter {} lists {failed_count} attempts of {}",
                            letter.id, letter.attempts
                        ));
                    }
                    probes.sometimes(Probe::PrincipalDenied, denied > 0);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
