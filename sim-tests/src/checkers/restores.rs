//! After a restore, settlements and renewals of the lost history may still arrive. Each of them
//! changes a row only if the history that survives has its claim. So a late settlement never
//! deletes, retries or applies effects to another row, even if the row has got the same id.

use super::ledger::{Ledger, Restore};
use super::{Checker, Life, Observation, Snapshot};
use crate::probes::{Probe, Probes};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_core::{BeginCallsReply, Claim, Delivery, ExchangeReply, OpId, RenewReply, Reply, Request, Settlement};

#[derive(Default)]
pub(super) struct Restores {
    /// The claims of the history that survives. Each row that was ever claimed has its own number.
    claims: Ledger<BTreeMap<Claim, u64>>,
    /// The claims that each life knows.
    known: BTreeMap<(Life, Claim), u64>,
    /// Claims that are applied and whose answer has not arrived.
    in_flight: BTreeMap<OpId, Vec<(Claim, u64)>>,
    /// How many rows were claimed in all histories.
    count: u64,
}

/// The rows that a reply has claimed.
fn claimed(reply: &Reply) -> &[Arc<Delivery>] {
    match reply {
        Reply::Exchange(ExchangeReply { claimed, .. }) => claimed,
        Reply::BeginCalls(BeginCallsReply { deliveries, .. }) => deliveries,
        _ => &[],
    }
}

impl Restores {
    fn belongs_to_lost_history(&self, of: Life, claim: Claim) -> bool {
        self.known.get(&(of, claim)).is_some_and(|known| self.claims.get(&claim) != Some(known))
    }

    /// Checks the claims that a request names.
    fn check_request(&self, of: Life, request: &Request, reply: &Reply, probes: &mut Probes) -> Result<(), String> {
        let is_lost = |claim: &Claim| self.belongs_to_lost_history(of, *claim);
        let check = |claim: Claim, what: &str, fenced: &[Claim], conflicted: &[Claim]| {
            let is_refused = fenced.contains(&claim) || conflicted.contains(&claim);
            if is_lost(&claim) && !is_refused {
                return Err(format!(
                    "the {what} of {claim} by daemon {} is of a lost history and was applied",
                    of.daemon
                ));
            }
            Ok(())
        };
        match (request, reply) {
            (Request::Exchange { settle, .. }, Reply::Exchange(ExchangeReply { fenced, conflicted, .. })) => {
                for Settlement { claim, verdict } in settle {
                    check(*claim, verdict.name(), fenced, conflicted)?;
                    probes.sometimes(Probe::LostHistoryFenced, is_lost(claim) && fenced.contains(claim));
                }
                Ok(())
            }
            (Request::Renew { held, .. }, Reply::Renew(RenewReply { fenced, .. })) => {
                held.iter().try_for_each(|claim| check(*claim, "renewal", fenced, &[]))
            }
            _ => Ok(()),
        }
    }

    fn record_claims(&mut self, of: Life, op: OpId, rows: &[Arc<Delivery>]) {
        let mut taken = Vec::new();
        for row in rows {
            self.count += 1;
            self.claims.insert(row.claim(), self.count);
            taken.push((row.claim(), self.count));
        }
        // An inline claim has no number of its own, and its rows are handed over without an answer.
        if op.seq == u64::MAX {
            self.known.extend(taken.into_iter().map(|(claim, count)| ((of, claim), count)));
        } else if !taken.is_empty() {
            self.in_flight.insert(op, taken);
        }
    }
}

impl Checker for Restores {
    fn name(&self) -> &'static str {
        "restores"
    }

    fn ledgers(&mut self) -> Vec<&mut dyn Restore> {
        vec![&mut self.claims]
    }

    fn observe(&mut self, observation: &Observation<'_>, _: &Snapshot<'_>, probes: &mut Probes) -> Result<(), String> {
        match observation {
            Observation::StoreApplied { of, op, request, reply } => {
                self.check_request(*of, request, reply, probes)?;
                self.record_claims(*of, *op, claimed(reply));
            }
            Observation::StoreAnswered { of, op, accepted: true, .. } => {
                let taken = self.in_flight.remove(op).unwrap_or_default();
                self.known.extend(taken.into_iter().map(|(claim, count)| ((*of, claim), count)));
            }
            Observation::LifeEnded { of } => self.known.retain(|(life, _), _| life != of),
            _ => {}
        }
        Ok(())
    }
}
