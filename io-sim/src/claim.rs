//! Claims: of a lane, of rows as they are written, and their renewal.
//!
//! Each row keeps the number and the end of its claim. The rows of one claim always agree on both.

use crate::memory::Memory;
use crate::rows::{Row, TriggerRow};
use std::collections::BTreeSet;
use std::sync::Arc;
use tidegate_core::{
    Attempt, Claim, ClaimRoom, Delivery, DeliveryId, EventId, ExecError, InlineRoom, LaneQuota, Lease, Micros,
    SuspectClaim, Timestamp, TriggerId, loss_backoff,
};
use tidegate_ports::EmittedEvent;

impl Memory {
    /// The number of a new claim. It is greater than every number before. It is at least the time,
    /// so that a store that is restored to an earlier state repeats no number.
    pub(crate) fn next_claim(&mut self) -> Lease {
        self.last_claim = self.now.0.max(self.last_claim + 1);
        Lease(self.last_claim)
    }

    /// The fence: whether this claim holds the row. An expired claim counts too.
    pub(crate) fn passes_fence(&self, claim: Claim) -> bool {
        self.outbox.get(&claim.delivery).is_some_and(|row| row.lease == claim.lease && row.is_leased())
    }

    /// Extends the claims that hold one of these rows, for all their rows. Returns the claims that
    /// are fenced: those that are no longer valid, and those of a limited lane with an expired
    /// lease, because other rows may have taken their slots.
    pub(crate) fn renew(&mut self, held: Vec<Claim>, lease_for: Micros) -> Vec<Claim> {
        let until = self.now.plus(lease_for);
        let is_late = |row: &Row| self.is_limited(row.trigger) && row.lease_until <= self.now;
        let may_renew = |claim: &Claim| {
            self.passes_fence(*claim) && self.outbox.get(&claim.delivery).is_some_and(|row| !is_late(row))
        };
        let (valid, fenced): (Vec<Claim>, Vec<Claim>) = held.into_iter().partition(may_renew);
        let renewed: BTreeSet<Lease> = valid.iter().map(|claim| claim.lease).collect();
        for row in self.outbox.values_mut().filter(|row| row.is_leased() && renewed.contains(&row.lease)) {
            row.lease_until = until;
        }
        fenced
    }

    /// Ends the leases of these claims. The daemon that made them has died, and starts again.
    pub fn end_claims(&mut self, claims: &BTreeSet<Lease>) {
        let now = self.now;
        for row in self.outbox.values_mut().filter(|row| claims.contains(&row.lease)) {
            row.lease_until = row.lease_until.min(now);
        }
    }

    /// Claims free rows of one lane, from the floor or the look-back on.
    pub(crate) fn claim_lane(
        &mut self,
        lane_quota: LaneQuota,
        room: &mut ClaimRoom,
        lease_for: Micros,
    ) -> Vec<Arc<Delivery>> {
        let LaneQuota { trigger, quota, starts, look_back } = lane_quota;
        if self.triggers.get(&trigger).is_none_or(TriggerRow::holds_deliveries) {
            return Vec::new();
        }
        let quota = quota.min(self.free_slots(trigger));
        let first = DeliveryId(i64::MIN);
        let floor = self.floors.get(&trigger).copied().unwrap_or((Timestamp(i64::MIN), first));
        let start = floor.min((look_back, first));
        let is_found = |row: &&Row| row.waits() && (row.due_at, row.id) >= start;
        let due = self.lane(trigger).take_while(|row| row.due_at <= self.now).filter(is_found).take(quota as usize);
        let due = due.take_while(|row| room.take(row.event.bytes()));
        let (taken, places): (Vec<_>, Vec<_>) = due.map(|row| (row.id, (row.due_at, row.id))).unzip();
        if let Some(last) = places.last().copied() {
            let is_full = taken.len() == quota as usize || room.is_cut();
            self.floors.insert(trigger, if is_full { last } else { floor.max(last) });
        }
        self.claim_rows(&taken, starts as usize, lease_for)
    }

    /// The rows that claims may still take from a lane: all, or its free slots if it has a
    /// `max_concurrency`.
    fn free_slots(&self, trigger: TriggerId) -> u32 {
        let limit = self.triggers.get(&trigger).and_then(|lane| lane.trigger.spec.max_concurrency);
        limit.map_or(u32::MAX, |limit| limit.get().saturating_sub(self.running_in(trigger)))
    }

    /// Ends the expired claims of a lane. Each row becomes a suspect, and its attempt is recorded
    /// as lost or as one that never began. Nothing is recorded for a row with its last permitted
    /// loss, which was not claimed to be executed.
    pub(crate) fn end_expired(&mut self, claim: SuspectClaim) {
        let SuspectClaim { trigger, backoff, .. } = claim;
        let expired = self.lane(trigger).filter(|row| row.is_expired(self.now));
        let expired: Vec<DeliveryId> = expired.map(|row| row.id).collect();
        for id in expired {
            let Some(row) = self.outbox.get(&id) else { continue };
            let (lost_max, lost) = (row.policy.max_lost(), row.lost + 1);
            if row.is_ahead && lost_max > 1 {
                let due_at = row.due_at;
                self.release(id, Micros::ZERO, |row| {
                    row.failed.push(unfinished(row, ExecError::NeverBegan, Attempt::NEVER_BEGAN_MESSAGE));
                });
                self.set_due(id, due_at);
                self.outbox.entry(id).and_modify(|row| row.is_suspect = true);
                continue;
            }
            let delay = loss_backoff(backoff, lost.min(lost_max));
            self.release(id, delay, |row| {
                if lost <= lost_max {
                    row.lost = lost;
                    row.failed.push(unfinished(row, ExecError::Lost, Attempt::LOST_MESSAGE));
                }
            });
        }
    }

    /// Claims the suspects of a lane that were held ahead. If there is none, it claims the first of
    /// those with the fewest losses.
    pub(crate) fn claim_suspects(
        &mut self,
        claim: SuspectClaim,
        mut room: ClaimRoom,
        lease_for: Micros,
    ) -> Vec<Arc<Delivery>> {
        let SuspectClaim { trigger, quota, .. } = claim;
        let quota = quota.min(self.free_slots(trigger)) as usize;
        if self.is_paused(trigger) || quota == 0 {
            return Vec::new();
        }
        let is_suspect = |row: &&Row| !row.is_leased() && row.is_suspect;
        let mut due: Vec<&Row> =
            self.lane(trigger).take_while(|row| row.due_at <= self.now).filter(is_suspect).collect();
        due.sort_by_key(|row| row.lost);
        let taken: Vec<DeliveryId> = match due.first() {
            Some(first) if first.lost > 0 => vec![first.id],
            _ => {
                let held_ahead = due.iter().filter(|row| row.lost == 0).take(quota);
                held_ahead.take_while(|row| room.take(row.event.bytes())).map(|row| row.id).collect()
            }
        };
        self.claim_rows(&taken, taken.len(), lease_for)
    }

    /// Claims the rows of `emitted` inline, as far as `room` allows, and marks the events with all
    /// rows claimed. Each lane gives one claim. No floor moves, because the lanes are not searched.
    pub fn claim_inline(
        &mut self,
        emitted: &mut [EmittedEvent],
        room: &InlineRoom,
        lease_for: Micros,
    ) -> Vec<Arc<Delivery>> {
        let written = emitted.iter().flat_map(|event| event.lanes.iter().copied());
        let quotas = room.quotas(written, |trigger| self.is_limited(trigger));
        let events: BTreeSet<EventId> = emitted.iter().map(|event| event.event_id).collect();
        let mut claimed = Vec::new();
        for (trigger, quota) in quotas {
            if self.is_paused(trigger) {
                continue;
            }
            let is_written = |row: &&Row| events.contains(&row.event.id) && !row.is_leased();
            let rows = self.lane(trigger).filter(is_written).take(quota as usize);
            let rows: Vec<DeliveryId> = rows.map(|row| row.id).collect();
            claimed.extend(self.claim_rows(&rows, rows.len(), lease_for));
        }
        emitted.iter_mut().for_each(|event| event.note_claimed(&claimed));
        claimed
    }

    /// Whether the trigger has a `max_concurrency`.
    #[must_use]
    pub fn is_limited(&self, trigger: TriggerId) -> bool {
        self.triggers.get(&trigger).is_some_and(|lane| lane.trigger.spec.max_concurrency.is_some())
    }

    /// Makes one claim of these rows of one lane. The first `starts` rows start at once, and the
    /// others are held ahead.
    fn claim_rows(&mut self, rows: &[DeliveryId], starts: usize, lease_for: Micros) -> Vec<Arc<Delivery>> {
        if rows.is_empty() {
            return Vec::new();
        }
        let lease = self.next_claim();
        let claim = |(nth, id): (usize, &DeliveryId)| self.claim_row(*id, lease, nth >= starts, lease_for);
        rows.iter().enumerate().filter_map(claim).collect()
    }

    fn claim_row(&mut self, id: DeliveryId, lease: Lease, is_ahead: bool, lease_for: Micros) -> Option<Arc<Delivery>> {
        let now = self.now;
        let row = self.outbox.get_mut(&id)?;
        row.lease = lease;
        row.lease_until = now.plus(lease_for);
        row.leased_at = now;
        (row.is_ahead, row.is_suspect) = (is_ahead, false);
        let row = row.clone();
        self.delivery_of(row)
    }
}

/// The record of an attempt whose claim expired.
fn unfinished(row: &Row, error: ExecError, message: &str) -> Attempt {
    let (attempt, started_at) = (row.attempt + 1, row.leased_at);
    Attempt { attempt, started_at, duration: None, error, message: message.to_owned() }
}
