//! Leases grow by one. A settlement or renewal with an old lease changes nothing. Nor does the
//! renewal of an expired lease, if its lane has a limit.

use super::{Checker, Observation, Snapshot};
use crate::probes::{Probe, Probes};
use std::collections::BTreeMap;
use tidegate_core::{
    BeginCallsReply, Claim, Delivery, DeliveryId, ExchangeReply, RenewReply, Reply, Request, Settlement, Timestamp,
    Verdict,
};

/// The expected claim of each row, derived from the applied requests.
#[derive(Default)]
pub(super) struct Claims {
    last_lease: BTreeMap<DeliveryId, i64>,
    valid: BTreeMap<DeliveryId, ValidClaim>,
}

struct ValidClaim {
    claim: Claim,
    leased_until: Timestamp,
    /// Whether the trigger has a `max_concurrency`.
    is_limited: bool,
}

impl Claims {
    fn is_valid(&self, claim: Claim) -> bool {
        self.valid.get(&claim.delivery).is_some_and(|valid| valid.claim == claim)
    }

    fn check_claim(&mut self, row: &Delivery, leased_until: Timestamp) -> Result<(), String> {
        let last = self.last_lease.insert(row.id, row.lease.0).unwrap_or_default();
        if row.lease.0 != last + 1 {
            return Err(format!("{} is claimed with lease {} after {last}", row.id, row.lease));
        }
        let is_limited = row.trigger_name.as_str() == "limited";
        self.valid.insert(row.id, ValidClaim { claim: row.claim(), leased_until, is_limited });
        Ok(())
    }

    fn check_renewal(
        &mut self,
        claim: Claim,
        is_fenced: bool,
        now: Timestamp,
        leased_until: Timestamp,
        probes: &mut Probes,
    ) -> Result<(), String> {
        let valid = self.valid.get_mut(&claim.delivery).filter(|valid| valid.claim == claim);
        let has_expired = valid.as_ref().is_some_and(|valid| valid.is_limited && valid.leased_until <= now);
        probes.sometimes(Probe::RenewedTooLate, has_expired);
        match valid.filter(|_| !has_expired) {
            Some(_) if is_fenced => Err(format!("the renewal of {claim} is fenced, but the claim is valid")),
            Some(valid) => {
                valid.leased_until = leased_until;
                Ok(())
            }
            None if is_fenced => Ok(()),
            None if has_expired => Err(format!("the renewal of {claim} revives an expired lease")),
            None => Err(format!("the claim {claim} is not valid, and it was renewed")),
        }
    }

    fn check_settlements(
        &mut self,
        settle: &[Settlement],
        fenced: &[Claim],
        conflicted: &[Claim],
    ) -> Result<(), String> {
        for Settlement { claim, verdict } in settle {
            if self.is_valid(*claim) == fenced.contains(claim) {
                let (is, was) = if fenced.contains(claim) { ("valid", "fenced") } else { ("not valid", "applied") };
                return Err(format!("the claim {claim} is {is}, and its {} was {was}", verdict.name()));
            }
            if !fenced.contains(claim) && !conflicted.contains(claim) && !matches!(verdict, Verdict::Executed { .. }) {
                self.valid.remove(&claim.delivery);
            }
        }
        Ok(())
    }
}

impl Checker for Claims {
    fn name(&self) -> &'static str {
        "claims"
    }

    fn observe(&mut self, observation: &Observation<'_>, _: &Snapshot<'_>, probes: &mut Probes) -> Result<(), String> {
        match observation {
            Observation::StoreApplied { request, reply, .. } => match (request, reply) {
                (
                    Request::Exchange { settle, lease_for, .. },
                    Reply::Exchange(ExchangeReply { now, fenced, conflicted, claimed, .. }),
                ) => {
                    self.check_settlements(settle, fenced, conflicted)?;
                    claimed.iter().try_for_each(|row| self.check_claim(row, now.plus(*lease_for)))
                }
                (Request::Renew { held, lease_for }, Reply::Renew(RenewReply { now, fenced })) => {
                    probes.sometimes(Probe::RenewalFenced, !fenced.is_empty());
                    held.iter().try_for_each(|claim| {
                        self.check_renewal(*claim, fenced.contains(claim), *now, now.plus(*lease_for), probes)
                    })
                }
                (Request::BeginCalls { lease_for, .. }, Reply::BeginCalls(BeginCallsReply { now, deliveries, .. })) => {
                    deliveries.iter().try_for_each(|row| self.check_claim(row, now.plus(*lease_for)))
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}
