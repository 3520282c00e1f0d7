//! Only the holder of a claim executes it, once except for conflicts. Two executions of a delivery
//! overlap only if the first lease had expired, in the store's time, when the second claim was
//! made.

use super::ledger::{Ledger, Restore};
use super::{Checker, Life, Observation, Snapshot};
use crate::probes::Probes;
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::{
    BeginCallsReply, Claim, DeliveryId, ExchangeReply, Fact, Lease, RenewReply, Reply, Request, Timestamp, Verdict,
};

#[derive(Default)]
pub(super) struct Overlap {
    claims: BTreeMap<Claim, ClaimExecutions>,
    /// The current claim of each row, and the end of its lease.
    leased_until: Ledger<BTreeMap<DeliveryId, (Lease, Timestamp)>>,
}

struct ClaimExecutions {
    by: Life,
    executions: u32,
    conflicts: u32,
}

impl Overlap {
    fn check_claim(&mut self, by: Life, claim: Claim, now: Timestamp, until: Timestamp) -> Result<(), String> {
        if self.leased_until.get(&claim.delivery).is_some_and(|(_, leased)| *leased > now) {
            return Err(format!("{} is claimed again while its lease is valid", claim.delivery));
        }
        self.leased_until.insert(claim.delivery, (claim.lease, until));
        self.claims.insert(claim, ClaimExecutions { by, executions: 0, conflicts: 0 });
        Ok(())
    }
}

impl Checker for Overlap {
    fn name(&self) -> &'static str {
        "overlap"
    }

    fn ledgers(&mut self) -> Vec<&mut dyn Restore> {
        vec![&mut self.leased_until]
    }

    fn observe(
        &mut self,
        observation: &Observation<'_>,
        snapshot: &Snapshot<'_>,
        _: &mut Probes,
    ) -> Result<(), String> {
        match observation {
            Observation::TimesMoved { by } => {
                let now = snapshot.store.now();
                let ahead = self.leased_until.values_mut().filter(|(_, until)| *until > now);
                ahead.for_each(|(_, until)| *until = until.minus(*by));
                Ok(())
            }
            Observation::ClaimsEnded { claims } => {
                let now = snapshot.store.now();
                let ended = self.leased_until.values_mut().filter(|(lease, _)| claims.contains(lease));
                ended.for_each(|(_, until)| *until = (*until).min(now));
                Ok(())
            }
            Observation::StoreApplied { of, request, reply, .. } => {
                let now = snapshot.store.now();
                for settlement in super::terminal::applied(request, reply) {
                    if !matches!(settlement.verdict, Verdict::Executed { .. }) {
                        self.leased_until.remove(&settlement.claim.delivery);
                    }
                }
                match (request, reply) {
                    (Request::Exchange { lease_for, .. }, Reply::Exchange(ExchangeReply { claimed, .. })) => {
                        claimed.iter().try_for_each(|row| self.check_claim(*of, row.claim(), now, now.plus(*lease_for)))
                    }
                    (Request::BeginCalls { lease_for, .. }, Reply::BeginCalls(BeginCallsReply { deliveries, .. })) => {
                        deliveries
                            .iter()
                            .try_for_each(|row| self.check_claim(*of, row.claim(), now, now.plus(*lease_for)))
                    }
                    (Request::Renew { held, lease_for }, Reply::Renew(RenewReply { fenced, .. })) => {
                        let valid = held.iter().filter(|claim| !fenced.contains(claim));
                        let renewed: BTreeSet<Lease> = valid.map(|claim| claim.lease).collect();
                        for (lease, until) in self.leased_until.values_mut() {
                            *until = if renewed.contains(lease) { now.plus(*lease_for) } else { *until };
                        }
                        Ok(())
                    }
                    _ => Ok(()),
                }
            }
            Observation::Fact { fact: Fact::EffectsConflicted { delivery, .. }, .. } => {
                if let Some(known) = self.claims.get_mut(&delivery.claim()) {
                    known.conflicts += 1;
                }
                Ok(())
            }
            Observation::ExecutionStarted { of, delivery, .. } => {
                let claim = delivery.claim();
                let Some(known) = self.claims.get_mut(&claim).filter(|known| known.by == *of) else {
                    return Err(format!("{claim} is executed by a daemon that does not hold it"));
                };
                known.executions += 1;
                if known.executions > 1 + known.conflicts {
                    return Err(format!("{claim} is executed for the {}th time", known.executions));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
