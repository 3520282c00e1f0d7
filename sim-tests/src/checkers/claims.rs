//! The rows that a request takes from one lane are one claim, with a number that was never used
//! before. A settlement or renewal changes nothing if its claim does not hold the row. A renewal
//! extends whole claims.

use super::terminal::{applied, ends};
use super::{Checker, Observation, Snapshot};
use crate::probes::{Probe, Probes};
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::{
    BeginCallsReply, Claim, Delivery, DeliveryId, ExchangeReply, Lease, RenewReply, Reply, Request, Settlement,
    Timestamp, TriggerId, Verdict,
};

/// The expected claims, derived from the applied requests.
#[derive(Default)]
pub(super) struct Claims {
    /// The numbers of all claims, with the rows that each claim holds.
    rows: BTreeMap<Lease, BTreeSet<DeliveryId>>,
    /// The claim of each held row.
    held_by: BTreeMap<DeliveryId, Lease>,
    /// The rows that each claim took.
    taken: BTreeMap<Lease, usize>,
}

impl Claims {
    fn is_valid(&self, claim: Claim) -> bool {
        self.held_by.get(&claim.delivery) == Some(&claim.lease)
    }

    fn leave(&mut self, row: DeliveryId) {
        if let Some(lease) = self.held_by.remove(&row) {
            self.rows.entry(lease).or_default().remove(&row);
        }
    }

    /// Checks the numbers of the claims of one request.
    fn check_claims(&mut self, claimed: &[Delivery], probes: &mut Probes) -> Result<(), String> {
        let mut lanes: BTreeMap<TriggerId, Lease> = BTreeMap::new();
        for row in claimed {
            let lease = *lanes.entry(row.trigger_id).or_insert(row.lease);
            if row.lease != lease {
                return Err(format!("{} is claimed as {}, other rows of its lane as {lease}", row.id, row.lease));
            }
            let old = self.held_by.get(&row.id).copied();
            self.leave(row.id);
            let keeps_rows = old.is_some_and(|old| self.rows.get(&old).is_some_and(|rows| !rows.is_empty()));
            probes.sometimes(Probe::ClaimTakenOverInPart, keeps_rows);
        }
        let leases: BTreeSet<Lease> = lanes.values().copied().collect();
        if leases.len() < lanes.len() {
            return Err(format!("two lanes have claims with one number: {lanes:?}"));
        }
        if let Some(lease) = leases.iter().find(|lease| self.taken.contains_key(lease)) {
            return Err(format!("the number {lease} is used for a second claim"));
        }
        for row in claimed {
            self.held_by.insert(row.id, row.lease);
            self.rows.entry(row.lease).or_default().insert(row.id);
            *self.taken.entry(row.lease).or_default() += 1;
        }
        Ok(())
    }

    fn check_settlements(&self, settle: &[Settlement], fenced: &[Claim]) -> Result<(), String> {
        for Settlement { claim, verdict } in settle {
            if self.is_valid(*claim) == fenced.contains(claim) {
                let (is, was) = if fenced.contains(claim) { ("valid", "fenced") } else { ("not valid", "applied") };
                return Err(format!("the claim {claim} is {is}, and its {} was {was}", verdict.name()));
            }
        }
        Ok(())
    }

    fn check_renewal(
        &self,
        held: &[Claim],
        fenced: &[Claim],
        until: Timestamp,
        snapshot: &Snapshot<'_>,
        probes: &mut Probes,
    ) -> Result<(), String> {
        probes.sometimes(Probe::RenewalFenced, !fenced.is_empty());
        if let Some(claim) = held.iter().find(|claim| self.is_valid(**claim) == fenced.contains(claim)) {
            return Err(format!("the renewal of {claim} has the wrong result"));
        }
        for claim in held.iter().filter(|claim| !fenced.contains(claim)) {
            let Some(rows) = self.rows.get(&claim.lease) else { continue };
            let has_left = self.taken.get(&claim.lease).is_some_and(|taken| *taken > rows.len());
            probes.sometimes(Probe::RenewedInPart, has_left && rows.len() > 1);
            let ends_at = |id: &&DeliveryId| snapshot.store.row(**id).is_none_or(|row| row.lease_until != until);
            if let Some(id) = rows.iter().find(ends_at) {
                return Err(format!("the renewal of {claim} does not extend the lease of {id} in the same claim"));
            }
        }
        Ok(())
    }
}

impl Checker for Claims {
    fn name(&self) -> &'static str {
        "claims"
    }

    fn observe(
        &mut self,
        observation: &Observation<'_>,
        snapshot: &Snapshot<'_>,
        probes: &mut Probes,
    ) -> Result<(), String> {
        let Observation::StoreApplied { request, reply, .. } = observation else { return Ok(()) };
        match (request, reply) {
            (Request::Exchange { settle, .. }, Reply::Exchange(ExchangeReply { fenced, claimed, .. })) => {
                self.check_settlements(settle, fenced)?;
                for settlement in applied(request, reply) {
                    let goes_back = matches!(settlement.verdict, Verdict::Retry { .. } | Verdict::Deferred { .. });
                    if goes_back || ends(&settlement.verdict) {
                        self.leave(settlement.claim.delivery);
                    }
                }
                self.check_claims(claimed, probes)
            }
            (Request::Renew { held, lease_for }, Reply::Renew(RenewReply { fenced, now })) => {
                self.check_renewal(held, fenced, now.plus(*lease_for), snapshot, probes)
            }
            (Request::BeginCalls { .. }, Reply::BeginCalls(BeginCallsReply { deliveries, .. })) => {
                self.check_claims(deliveries, probes)
            }
            _ => Ok(()),
        }
    }
}
