//! A back-off is within the bounds of its policy, is stored as drawn, and is waited for. A suspect
//! waits 1 s after its first loss, and twice as long after each further one, up to 32 s. The
//! distribution of the jitter needs many runs: see `jitter`.

use super::ledger::{Ledger, Restore};
use super::terminal::applied;
use super::{Checker, Observation, Snapshot};
use crate::probes::{Probe, Probes};
use std::collections::BTreeMap;
use tidegate_core::{
    Backoff as Shape, Claim, Delivery, DeliveryId, ExchangeReply, Micros, Outcome, Reply, Request, RetryPolicySpec,
    Settlement, Timestamp, TriggerId, Verdict,
};

#[derive(Default)]
pub(super) struct Backoff {
    rows: Ledger<BTreeMap<DeliveryId, (u32, RetryPolicySpec)>>,
    requested_delays: BTreeMap<Claim, Option<Micros>>,
    due: Ledger<BTreeMap<DeliveryId, Timestamp>>,
    losses: Ledger<BTreeMap<DeliveryId, u32>>,
}

/// The longest delay that a handler can request: 7 days.
const REQUESTED_US_MAX: u64 = 7 * 24 * 3_600 * 1_000_000;

/// The range of the delay after an attempt, computed from the policy and not by the code under
/// test.
fn range(attempt: u32, policy: &RetryPolicySpec) -> (u64, u64) {
    let factor = match policy.backoff {
        Shape::Exponential => 2_f64.powi(attempt as i32 - 1),
        Shape::Linear => f64::from(attempt),
        Shape::Constant => 1.0,
    };
    let middle = (policy.base_ms as f64 * factor).min(policy.max_ms as f64) * 1_000.0;
    ((middle * (1.0 - policy.jitter)).floor() as u64, (middle * (1.0 + policy.jitter)).ceil() as u64)
}

impl Backoff {
    fn check_retry(&self, settlement: &Settlement, delay: Micros, probes: &mut Probes) -> Result<(), String> {
        let id = settlement.claim.delivery;
        let Some((attempt, policy)) = self.rows.get(&id) else { return Ok(()) };
        let (low, high) = range(*attempt, policy);
        let requested = self.requested_delays.get(&settlement.claim).copied().flatten().unwrap_or_default();
        let requested = requested.0.min(REQUESTED_US_MAX);
        probes.sometimes(Probe::RetryAfter, requested > high);
        if !(low.max(requested)..=high.max(requested)).contains(&delay.0) {
            let what = format!("{id} waits {} µs after attempt {attempt}", delay.0);
            return Err(format!("{what}; the policy allows {low} to {high}, the handler requested {requested}"));
        }
        // With a maximum age, the longest delays become dead letters instead.
        if requested < low && high > low && policy.max_age_ms.is_none() {
            probes.drawn(((delay.0 - low) * 10 / (high - low + 1)) as usize);
        }
        Ok(())
    }

    /// Checks the due times of the rows of a lane that were lost now.
    fn check_losses(&mut self, lane: TriggerId, snapshot: &Snapshot<'_>) -> Result<(), String> {
        for row in snapshot.store.lane(lane) {
            let known = self.losses.insert(row.id, row.lost).unwrap_or_default();
            if row.lost == known {
                continue;
            }
            let due = snapshot.store.now().plus(Micros(1_000_000 * 2_u64.pow((row.lost - 1).min(5))));
            if row.due_at != due {
                let (id, lost, at) = (row.id, row.lost, row.due_at);
                return Err(format!("{id} is due at {at:?} after {lost} losses, expected {due:?}"));
            }
            self.due.insert(row.id, due);
        }
        Ok(())
    }

    fn check_claim(&mut self, row: &Delivery, now: Timestamp) -> Result<(), String> {
        self.rows.insert(row.id, (row.attempt, row.policy.into()));
        match self.due.remove(&row.id) {
            Some(due) if due > now => Err(format!("{} is claimed before it is due", row.id)),
            _ => Ok(()),
        }
    }
}

impl Checker for Backoff {
    fn name(&self) -> &'static str {
        "backoff"
    }

    fn ledgers(&mut self) -> Vec<&mut dyn Restore> {
        vec![&mut self.rows, &mut self.due, &mut self.losses]
    }

    fn observe(
        &mut self,
        observation: &Observation<'_>,
        snapshot: &Snapshot<'_>,
        probes: &mut Probes,
    ) -> Result<(), String> {
        match observation {
            Observation::ExecutionEnded { claim, outcome: Some(Outcome::Failed(failure)), .. } => {
                self.requested_delays.insert(*claim, failure.retry_after);
                Ok(())
            }
            Observation::TimesMoved { by } => {
                let ahead = self.due.values_mut().filter(|due| **due > snapshot.store.now());
                ahead.for_each(|due| *due = due.minus(*by));
                Ok(())
            }
            Observation::StoreApplied { request, reply, .. } => {
                let now = snapshot.store.now();
                for settlement in applied(request, reply) {
                    let id = settlement.claim.delivery;
                    let delay = match &settlement.verdict {
                        Verdict::Retry { delay, .. } => {
                            self.check_retry(settlement, *delay, probes)?;
                            *delay
                        }
                        Verdict::Deferred { delay } => *delay,
                        _ => continue,
                    };
                    let due = now.plus(delay);
                    self.due.insert(id, due);
                    if let (Some(row), Request::Exchange { .. }) = (snapshot.store.row(id), request)
                        && row.due_at != due
                    {
                        return Err(format!("{id} is due at {:?}, expected {due:?}", row.due_at));
                    }
                }
                if let Request::Exchange { suspect: Some(claim), .. } = request {
                    self.check_losses(claim.trigger, snapshot)?;
                }
                match reply {
                    Reply::Exchange(ExchangeReply { claimed, .. }) => {
                        claimed.iter().try_for_each(|row| self.check_claim(row, now))
                    }
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}
