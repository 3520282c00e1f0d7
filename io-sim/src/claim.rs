//! Claims: of a lane, of rows as they are written, and their renewal.
//!
//! Each row keeps the number and the end of its claim. The rows of one claim always agree on both.

use crate::memory::Memory;
use crate::rows::Row;
use std::collections::BTreeSet;
use tidegate_core::{
    Attempt, Claim, Delivery, DeliveryId, EventId, ExecError, InlineRoom, LaneQuota, Lease, Micros, Timestamp,
    TriggerId,
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

    /// Claims rows of one lane: free rows from the floor or the look-back on, and rows with an
    /// expired lease.
    pub(crate) fn claim_lane(&mut self, lane_quota: LaneQuota, lease_for: Micros) -> Vec<Delivery> {
        let LaneQuota { trigger, quota, look_back } = lane_quota;
        let Some(lane) = self.triggers.get(&trigger) else { return Vec::new() };
        if lane.holds_deliveries() {
            return Vec::new();
        }
        let quota = match lane.trigger.spec.max_concurrency {
            Some(limit) => quota.min(limit.get().saturating_sub(self.running_in(trigger))),
            None => quota,
        };
        let first = DeliveryId(i64::MIN);
        let floor = self.floors.get(&trigger).copied().unwrap_or((Timestamp(i64::MIN), first));
        let start = floor.min((look_back, first));
        let now = self.now;
        let is_found =
            |row: &&Row| if row.is_leased() { row.lease_until <= now } else { (row.due_at, row.id) >= start };
        let due = self.lane(trigger).take_while(|row| row.due_at <= now).filter(is_found).take(quota as usize);
        let (taken, free): (Vec<_>, Vec<_>) = due.map(|row| (row.id, !row.is_leased())).unzip();
        let last_free = taken.iter().zip(free).rfind(|(_, is_free)| *is_free);
        let last_free = last_free.and_then(|(id, _)| self.outbox.get(id)).map(|row| (row.due_at, row.id));
        if let Some(last) = last_free {
            let is_full = taken.len() == quota as usize;
            self.floors.insert(trigger, if is_full { last } else { floor.max(last) });
        }
        self.claim_rows(&taken, lease_for)
    }

    /// Claims the rows of `emitted` inline, as far as `room` allows, and marks the events with all
    /// rows claimed. Each lane gives one claim. No floor moves, because the lanes are not searched.
    pub fn claim_inline(
        &mut self,
        emitted: &mut [EmittedEvent],
        room: &InlineRoom,
        lease_for: Micros,
    ) -> Vec<Delivery> {
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
            claimed.extend(self.claim_rows(&rows, lease_for));
        }
        emitted.iter_mut().for_each(|event| event.note_claimed(&claimed));
        claimed
    }

    /// Whether the trigger has a `max_concurrency`.
    #[must_use]
    pub fn is_limited(&self, trigger: TriggerId) -> bool {
        self.triggers.get(&trigger).is_some_and(|lane| lane.trigger.spec.max_concurrency.is_some())
    }

    /// Makes one claim of these rows of one lane.
    fn claim_rows(&mut self, rows: &[DeliveryId], lease_for: Micros) -> Vec<Delivery> {
        if rows.is_empty() {
            return Vec::new();
        }
        let lease = self.next_claim();
        rows.iter().filter_map(|id| self.claim_row(*id, lease, lease_for)).collect()
    }

    fn claim_row(&mut self, id: DeliveryId, lease: Lease, lease_for: Micros) -> Option<Delivery> {
        let now = self.now;
        let row = self.outbox.get_mut(&id)?;
        if row.is_leased() && row.attempt <= row.policy.max_attempts() {
            row.failed.push(Attempt {
                attempt: row.attempt,
                started_at: row.leased_at,
                duration: None,
                error: ExecError::Lost,
                message: Attempt::LOST_MESSAGE.to_owned(),
            });
        }
        row.lease = lease;
        row.lease_until = now.plus(lease_for);
        row.leased_at = now;
        row.attempt = (row.attempt + 1).min(row.policy.max_attempts() + 1);
        let row = row.clone();
        self.delivery_of(row)
    }
}
