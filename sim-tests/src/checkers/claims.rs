//! The rows that a request takes from one lane are one claim, with a number that was never used
//! before. A settlement or renewal changes nothing if its claim does not hold the row. A renewal
//! extends whole claims, but no expired claim of a lane with a limit. A daemon renews no claim with
//! a row that it has dropped, because no other daemon could claim the row.

use super::ledger::{Ledger, Restore};
use super::terminal::{applied, ends};
use super::{Checker, Observation, Snapshot};
use crate::probes::{Probe, Probes};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tidegate_core::{
    BeginCallsReply, Claim, Delivery, DeliveryId, ExchangeReply, Lease, RenewReply, Reply, Request, Settlement,
    Timestamp, TriggerId, Verdict,
};

/// The expected claims, derived from the applied requests.
#[derive(Default)]
pub(super) struct Claims {
    /// All claims of the run, also those without rows.
    claims: Ledger<BTreeMap<Lease, LaneClaim>>,
    /// The claim of each held row.
    held_by: Ledger<BTreeMap<DeliveryId, Lease>>,
}

#[derive(Clone)]
struct LaneClaim {
    lane: TriggerId,
    /// The rows that the claim holds.
    rows: BTreeSet<DeliveryId>,
    leased_until: Timestamp,
    /// Whether the trigger has a `max_concurrency`.
    is_limited: bool,
    /// Whether a row has left the claim.
    is_partial: bool,
    /// Whether the daemon may have dropped rows of the claim: a restore has brought back rows that
    /// it has settled, or one of its renewals came too late before the clock was set back.
    has_dropped: bool,
}

impl Claims {
    fn is_valid(&self, claim: Claim) -> bool {
        self.held_by.get(&claim.delivery) == Some(&claim.lease)
    }

    /// A row leaves its claim.
    fn leave(&mut self, row: DeliveryId) {
        if let Some(claim) = self.held_by.remove(&row).and_then(|lease| self.claims.get_mut(&lease)) {
            claim.rows.remove(&row);
            claim.is_partial = true;
        }
    }

    /// The expired claims of a lane lose all their rows.
    fn end_expired(&mut self, lane: TriggerId, now: Timestamp, probes: &mut Probes) {
        let is_expired = |claim: &&mut LaneClaim| claim.lane == lane && claim.leased_until <= now;
        for claim in self.claims.values_mut().filter(is_expired) {
            probes.sometimes(Probe::LostInPart, claim.is_partial && !claim.rows.is_empty());
            for row in std::mem::take(&mut claim.rows) {
                self.held_by.remove(&row);
            }
        }
    }

    /// The claims of a dead daemon that starts again have no valid lease.
    fn check_ended(&mut self, ended: &BTreeSet<Lease>, snapshot: &Snapshot<'_>) -> Result<(), String> {
        let now = snapshot.store.now();
        let is_leased = |row: &DeliveryId, lease: Lease| {
            snapshot.store.row(*row).is_some_and(|row| row.lease == lease && row.lease_until > now)
        };
        for (lease, claim) in self.claims.iter_mut().filter(|(lease, _)| ended.contains(lease)) {
            claim.leased_until = claim.leased_until.min(now);
            if let Some(row) = claim.rows.iter().find(|row| is_leased(row, *lease)) {
                return Err(format!("the claim {lease} of a dead daemon still holds the row {row}"));
            }
        }
        Ok(())
    }

    /// Checks the numbers of the claims of one request.
    fn check_claims(
        &mut self,
        claimed: &[Arc<Delivery>],
        suspects: &[Arc<Delivery>],
        leased_until: Timestamp,
    ) -> Result<(), String> {
        let mut lanes: BTreeMap<(TriggerId, bool), Lease> = BTreeMap::new();
        let of_lanes = claimed.iter().map(|row| (row, false));
        for (row, is_suspect) in of_lanes.chain(suspects.iter().map(|row| (row, true))) {
            let lease = *lanes.entry((row.trigger_id, is_suspect)).or_insert(row.lease);
            if row.lease != lease {
                return Err(format!("{} is claimed as {}, other rows of its lane as {lease}", row.id, row.lease));
            }
            if self.held_by.contains_key(&row.id) {
                return Err(format!("{} is claimed, but another claim holds it", row.id));
            }
        }
        let leases: BTreeSet<Lease> = lanes.values().copied().collect();
        if leases.len() < lanes.len() {
            return Err(format!("two claims have one number: {lanes:?}"));
        }
        if let Some(lease) = leases.iter().find(|lease| self.claims.contains_key(lease)) {
            return Err(format!("the number {lease} is used for a second claim"));
        }
        for row in claimed.iter().chain(suspects) {
            self.held_by.insert(row.id, row.lease);
            let is_limited = row.trigger_name.as_str() == "limited";
            let lane = row.trigger_id;
            let new = LaneClaim {
                lane,
                rows: BTreeSet::new(),
                leased_until,
                is_limited,
                is_partial: false,
                has_dropped: false,
            };
            self.claims.entry(row.lease).or_insert(new).rows.insert(row.id);
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
        &mut self,
        held: &[Claim],
        reply: &RenewReply,
        leased_until: Timestamp,
        snapshot: &Snapshot<'_>,
        probes: &mut Probes,
    ) -> Result<(), String> {
        let RenewReply { now, fenced } = reply;
        probes.sometimes(Probe::RenewalFenced, !fenced.is_empty());
        let (mut renewed, mut late) = (BTreeSet::new(), BTreeSet::new());
        for claim in held {
            let valid = self.claims.get(&claim.lease).filter(|_| self.is_valid(*claim));
            let has_expired = valid.is_some_and(|valid| valid.is_limited && valid.leased_until <= *now);
            probes.sometimes(Probe::RenewedTooLate, has_expired);
            match (valid.is_some() && !has_expired, fenced.contains(claim)) {
                (true, true) => return Err(format!("the renewal of {claim} is fenced, but the claim is valid")),
                (true, false) => _ = renewed.insert(claim.lease),
                (false, true) if has_expired => _ = late.insert(claim.lease),
                (false, true) => {}
                (false, false) if has_expired => {
                    return Err(format!("the renewal of {claim} revives an expired lease"));
                }
                (false, false) => return Err(format!("the claim {claim} is not valid, and it was renewed")),
            }
        }
        for (_, claim) in self.claims.iter_mut().filter(|(lease, _)| late.contains(lease)) {
            claim.has_dropped = true;
        }
        for (lease, claim) in self.claims.iter_mut().filter(|(lease, _)| renewed.contains(lease)) {
            claim.leased_until = leased_until;
            probes.sometimes(Probe::RenewedInPart, claim.is_partial);
            let is_extended =
                |id: &DeliveryId| snapshot.store.row(*id).is_some_and(|row| row.lease_until == leased_until);
            let is_named = |row: &DeliveryId| held.contains(&Claim { delivery: *row, lease: *lease });
            if let Some(row) = claim.rows.iter().find(|row| !is_named(row) && !claim.has_dropped) {
                return Err(format!(
                    "a renewal keeps the row {row} of the claim {lease}, but its daemon has dropped it"
                ));
            }
            if let Some(id) = claim.rows.iter().find(|id| !is_extended(id)) {
                return Err(format!("the renewal of the claim {lease} does not extend the lease of its row {id}"));
            }
        }
        Ok(())
    }
}

impl Checker for Claims {
    fn name(&self) -> &'static str {
        "claims"
    }

    fn ledgers(&mut self) -> Vec<&mut dyn Restore> {
        vec![&mut self.claims, &mut self.held_by]
    }

    fn observe(
        &mut self,
        observation: &Observation<'_>,
        snapshot: &Snapshot<'_>,
        probes: &mut Probes,
    ) -> Result<(), String> {
        if let Observation::TimesMoved { by } = observation {
            let ahead = self.claims.values_mut().filter(|claim| claim.leased_until > snapshot.store.now());
            ahead.for_each(|claim| claim.leased_until = claim.leased_until.minus(*by));
        }
        if let Observation::ClaimsEnded { claims } = observation {
            self.check_ended(claims, snapshot)?;
        }
        if let Observation::Restored = observation {
            self.claims.values_mut().for_each(|claim| claim.has_dropped = true);
        }
        let Observation::StoreApplied { request, reply, .. } = observation else { return Ok(()) };
        match (request, reply) {
            (
                Request::Exchange { settle, suspect, lease_for, .. },
                Reply::Exchange(exchanged @ ExchangeReply { now, fenced, .. }),
            ) => {
                self.check_settlements(settle, fenced)?;
                for settlement in applied(request, reply) {
                    let goes_back = matches!(settlement.verdict, Verdict::Retry { .. } | Verdict::Deferred { .. });
                    if goes_back || ends(&settlement.verdict) {
                        self.leave(settlement.claim.delivery);
                    }
                }
                if let Some(claim) = suspect {
                    self.end_expired(claim.trigger, *now, probes);
                }
                let (claimed, suspects) = exchanged.split_claimed();
                self.check_claims(claimed, suspects, now.plus(*lease_for))
            }
            (Request::Renew { held, lease_for }, Reply::Renew(reply)) => {
                self.check_renewal(held, reply, reply.now.plus(*lease_for), snapshot, probes)
            }
            (Request::BeginCalls { lease_for, .. }, Reply::BeginCalls(BeginCallsReply { now, deliveries, .. })) => {
                self.check_claims(deliveries, &[], now.plus(*lease_for))
            }
            _ => Ok(()),
        }
    }
}
