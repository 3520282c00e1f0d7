//! Leases grow by one. A settlement or renewal with an old lease changes nothing.

use super::{Checker, Observation, Snapshot};
use crate::probes::{Probe, Probes};
use std::collections::BTreeMap;
use tidegate_core::{
    BeginCallsReply, Claim, Delivery, DeliveryId, ExchangeReply, RenewReply, Reply, Request, Settlement, Verdict,
};

/// The expected claim of each row, derived from the applied requests.
#[derive(Default)]
pub(super) struct Claims {
    last_lease: BTreeMap<DeliveryId, i64>,
    valid: BTreeMap<DeliveryId, Claim>,
}

impl Claims {
    fn is_valid(&self, claim: Claim) -> bool {
        self.valid.get(&claim.delivery) == Some(&claim)
    }

    fn check_claim(&mut self, row: &Delivery) -> Result<(), String> {
        let last = self.last_lease.insert(row.id, row.lease.0).unwrap_or_default();
        if row.lease.0 != last + 1 {
            return Err(format!("{} is claimed with lease {} after {last}", row.id, row.lease));
        }
        self.valid.insert(row.id, row.claim());
        Ok(())
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
                    Request::Exchange { settle, .. },
                    Reply::Exchange(ExchangeReply { fenced, conflicted, claimed, .. }),
                ) => {
                    self.check_settlements(settle, fenced, conflicted)?;
                    claimed.iter().try_for_each(|row| self.check_claim(row))
                }
                (Request::Renew { held, .. }, Reply::Renew(RenewReply { fenced, .. })) => {
                    probes.sometimes(Probe::RenewalFenced, !fenced.is_empty());
                    match held.iter().find(|claim| self.is_valid(**claim) == fenced.contains(claim)) {
                        Some(claim) => Err(format!("the renewal of {claim} has the wrong result")),
                        None => Ok(()),
                    }
                }
                (Request::BeginCalls { .. }, Reply::BeginCalls(BeginCallsReply { deliveries, .. })) => {
                    deliveries.iter().try_for_each(|row| self.check_claim(row))
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}
