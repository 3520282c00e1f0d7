//! `attempt` grows by one with each failure, and `lost` with each expired claim under which the
//! delivery was to start at once. A claim that held it ahead does not count, unless its first loss
//! is its last, and the letter lists it as an attempt that never began. A delivery without attempts
//! left is not retried, and one with its last permitted loss is not executed. A dead letter for
//! exhausted attempts had all of them, one for losses had all of these.

use super::ledger::{Ledger, Restore};
use super::terminal::applied;
use super::{Checker, Observation, Snapshot};
use crate::probes::{Probe, Probes};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_core::{
    BeginCallsReply, DeadReason, Delivery, DeliveryId, ExecError, LaneQuota, Reply, Request, RetryPolicySpec, Verdict,
};

#[derive(Default)]
pub(super) struct Attempts {
    rows: Ledger<BTreeMap<DeliveryId, AttemptCount>>,
}

#[derive(Clone, Copy)]
struct AttemptCount {
    failed: u32,
    lost: u32,
    /// The expired claims that held it ahead.
    held: u32,
    /// Whether the delivery starts at once under the claim that holds it. `None` without a claim.
    starts: Option<bool>,
    attempts_max: u32,
    losses_max: u32,
}

impl AttemptCount {
    /// The limits of a policy, computed from its fields and not by the code under test.
    fn of(policy: RetryPolicySpec) -> Self {
        let losses_max = if policy.max_attempts == 1 { 1 } else { policy.max_lost };
        Self { failed: 0, lost: 0, held: 0, starts: None, attempts_max: policy.max_attempts, losses_max }
    }
}

impl Attempts {
    fn check_claim(&mut self, row: &Delivery, starts: bool, probes: &mut Probes) -> Result<(), String> {
        let count = self.rows.entry(row.id).or_insert_with(|| AttemptCount::of(row.policy.into()));
        match count.starts.replace(starts) {
            Some(false) if count.losses_max > 1 => {
                count.held += 1;
                probes.sometimes(Probe::LostAhead, true);
            }
            Some(_) => count.lost = (count.lost + 1).min(count.losses_max),
            None => {}
        }
        let expected = (count.failed + 1, count.lost);
        if (row.attempt, row.lost) != expected {
            let (attempt, lost) = (row.attempt, row.lost);
            return Err(format!(
                "{} is claimed with attempt and losses {:?}, expected {expected:?}",
                row.id,
                (attempt, lost)
            ));
        }
        Ok(())
    }

    fn check_verdict(&mut self, id: DeliveryId, verdict: &Verdict, probes: &mut Probes) -> Result<(), String> {
        let Some(count) = self.rows.get_mut(&id) else { return Ok(()) };
        let AttemptCount { failed, lost, attempts_max, losses_max, .. } = *count;
        match verdict {
            Verdict::Executed { .. } => return Ok(()),
            Verdict::Retry { .. } if failed + 1 >= attempts_max => {
                return Err(format!("{id} is tried again after {} failures", failed + 1));
            }
            Verdict::Retry { .. } => count.failed += 1,
            Verdict::Dead { reason: DeadReason::AttemptsExhausted, attempts, .. } => {
                if failed + 1 != attempts_max || *attempts != failed + 1 + lost {
                    return Err(format!("{id} died after {attempts} attempts and {lost} losses of {attempts_max}"));
                }
                probes.sometimes(Probe::Exhausted, true);
                probes.sometimes(Probe::ExhaustedAfterLoss, lost > 0);
            }
            Verdict::Dead { reason: DeadReason::Lost, attempts, .. } => {
                if lost != losses_max || *attempts != failed + lost {
                    return Err(format!("{id} died after {lost} losses of {losses_max} and {attempts} attempts"));
                }
                probes.sometimes(Probe::LostTooOften, lost > 1);
            }
            _ => {}
        }
        count.starts = None;
        Ok(())
    }
}

/// The rows of lanes, each with whether it starts at once.
fn with_starts<'a>(
    quotas: &'a [LaneQuota],
    claimed: &'a [Arc<Delivery>],
) -> impl Iterator<Item = (&'a Delivery, bool)> + 'a {
    claimed.chunk_by(|one, next| one.trigger_id == next.trigger_id).flat_map(|lane| {
        let quota = lane.first().and_then(|row| quotas.iter().find(|quota| quota.trigger == row.trigger_id));
        let starts = quota.map_or(0, |quota| quota.starts as usize);
        lane.iter().enumerate().map(move |(nth, row)| (&**row, nth < starts))
    })
}

impl Checker for Attempts {
    fn name(&self) -> &'static str {
        "attempts"
    }

    fn ledgers(&mut self) -> Vec<&mut dyn Restore> {
        vec![&mut self.rows]
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
                    self.check_verdict(settlement.claim.delivery, &settlement.verdict, probes)?;
                }
                match (request, reply) {
                    (Request::Exchange { claim, .. }, Reply::Exchange(reply)) => {
                        let (claimed, suspects) = reply.split_claimed();
                        for (row, starts) in with_starts(claim, claimed) {
                            self.check_claim(row, starts, probes)?;
                        }
                        suspects.iter().try_for_each(|row| self.check_claim(row, true, probes))
                    }
                    (_, Reply::BeginCalls(BeginCallsReply { deliveries, .. })) => {
                        deliveries.iter().try_for_each(|row| self.check_claim(row, true, probes))
                    }
                    _ => Ok(()),
                }
            }
            Observation::ExecutionStarted { delivery, .. } => {
                let AttemptCount { attempts_max, losses_max, .. } = AttemptCount::of(delivery.policy.into());
                if delivery.attempt > attempts_max || delivery.lost >= losses_max {
                    let (id, attempt, lost) = (delivery.id, delivery.attempt, delivery.lost);
                    return Err(format!("{id} is executed for attempt {attempt} after {lost} losses"));
                }
                Ok(())
            }
            Observation::RunEnded => {
                for letter in snapshot.store.letters_after(tidegate_core::DeadLetterId(i64::MIN)) {
                    let count_of = |error| letter.failed.iter().filter(|one| one.error == error).count();
                    let denied = count_of(ExecError::PrincipalDenied);
                    let never_began = count_of(ExecError::NeverBegan);
                    let failed_count = letter.failed.len() - never_began;
                    let held = self.rows.get(&letter.delivery_id).map_or(0, |count| count.held);
                    if never_began != held as usize {
                        return Err(format!(
                            "letter {} lists {never_began} attempts that never began, of {held}",
                            letter.id
                        ));
                    }
                    probes.sometimes(Probe::NeverBegan, never_began > 0);
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
