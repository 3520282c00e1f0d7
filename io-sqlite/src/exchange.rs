//! The exchange: settles deliveries, then claims rows lane by lane.
//!
//! A claim takes the rows above the floor of the lane, and rows of expired claims. One thread
//! writes, and the jobs have different times. So no other row is free: see the table `floors`.

use crate::claims::{ClaimedRow, StoredClaim};
use crate::lane::{Floor, Lane};
use crate::query::Query;
use crate::settle::SettleResult;
use crate::sql;
use crate::writer::Tx;
use rusqlite::params;
use tidegate_core::{
    Attempt, Delivery, DeliveryId, ExchangeReply, LaneQuota, Lease, Micros, Reply, Settlement, TriggerId,
};
use tidegate_ports::PortError;

/// A row that a claim may take. `expired` is the position of the expired claim that holds it.
struct Candidate {
    row: ClaimedRow,
    expired: Option<usize>,
}

impl Tx<'_> {
    pub(crate) fn exchange(
        &self,
        settle: Vec<Settlement>,
        claim: Vec<LaneQuota>,
        lease_for: Micros,
    ) -> Result<Reply, PortError> {
        let SettleResult { fenced, conflicted, woken } = self.settle(settle)?;
        let mut claimed = Vec::new();
        for LaneQuota { trigger, quota, .. } in claim {
            claimed.append(&mut self.claim(trigger, quota, lease_for)?);
        }
        let woken_lanes = woken.into_iter().collect();
        Ok(Reply::Exchange(ExchangeReply { now: self.now, fenced, conflicted, claimed, woken_lanes }))
    }

    /// The lane and its floor, unless the lane is missing or paused.
    pub(crate) fn open_lane(&self, trigger: TriggerId) -> Result<Option<(Lane, Floor)>, PortError> {
        let lane = self.connection.maybe(sql::lane, [trigger.0], |row| {
            Ok(if row.get("is_paused")? { None } else { Some((Lane::read(row)?, Floor::read(row)?)) })
        })?;
        Ok(lane.flatten())
    }

    fn claim(&self, trigger: TriggerId, quota: u32, lease_for: Micros) -> Result<Vec<Delivery>, PortError> {
        let Some((lane, floor)) = self.open_lane(trigger)? else { return Ok(Vec::new()) };
        let quota = match lane.max_concurrency {
            Some(limit) => quota.min(limit.saturating_sub(self.slots_taken(trigger)?)),
            None => quota,
        };
        if quota == 0 {
            return Ok(Vec::new());
        }
        let lease = self.new_lease();
        let waiting = self.waiting_rows(&lane, floor, quota, lease)?;
        let expired = self.expired_claims(trigger)?;
        let (rows, last_waiting) = if expired.is_empty() {
            let last = waiting.last().map(Floor::of);
            (waiting, last)
        } else {
            self.with_expired(&lane, waiting, expired, quota, lease)?
        };
        if let Some(Floor { due_at, id }) = last_waiting {
            self.connection.run(sql::floor_set, [trigger.0, due_at.0, id.0])?;
        }
        self.add_claim(trigger, &rows, lease_for)?;
        Ok(rows.into_iter().map(|row| row.delivery).collect())
    }

    /// The next due rows above the floor.
    fn waiting_rows(&self, lane: &Lane, floor: Floor, quota: u32, lease: Lease) -> Result<Vec<ClaimedRow>, PortError> {
        let params = params![lane.trigger.0, floor.due_at.0, floor.id.0, quota];
        let mut rows = self.connection.all(sql::claim_same_due, params, |row| lane.claimed_row(row, lease))?;
        let rest = quota.saturating_sub(rows.len() as u32);
        if rest > 0 {
            let params = params![lane.trigger.0, floor.due_at.0, self.now.0, rest];
            rows.append(&mut self.connection.all(sql::claim, params, |row| lane.claimed_row(row, lease))?);
        }
        Ok(rows)
    }

    /// The first rows of `waiting` and of the expired claims together, in the order of the lane.
    /// The rows of expired claims change hands. Also returns the last row that came from `waiting`.
    fn with_expired(
        &self,
        lane: &Lane,
        waiting: Vec<ClaimedRow>,
        mut expired: Vec<StoredClaim>,
        quota: u32,
        lease: Lease,
    ) -> Result<(Vec<ClaimedRow>, Option<Floor>), PortError> {
        let mut candidates: Vec<Candidate> = waiting.into_iter().map(|row| Candidate { row, expired: None }).collect();
        for (at, claim) in expired.iter().enumerate() {
            for (id, turn) in &claim.deliveries {
                let held = self.connection.maybe(sql::claim_row, [id, turn], |row| lane.claimed_row(row, lease))?;
                candidates.extend(held.map(|row| Candidate { row, expired: Some(at) }));
            }
        }
        candidates.sort_unstable_by_key(|one| (one.row.delivery.due_at, one.row.delivery.id));
        candidates.truncate(quota as usize);
        let last_waiting = candidates.iter().rev().find(|one| one.expired.is_none()).map(|one| Floor::of(&one.row));
        let mut rows = Vec::with_capacity(candidates.len());
        for Candidate { mut row, expired: holder } in candidates {
            if let Some(holder) = holder.and_then(|at| expired.get_mut(at)) {
                self.take_over(&mut row, holder)?;
            }
            rows.push(row);
        }
        expired.iter().try_for_each(|claim| self.store_claim(claim))?;
        Ok((rows, last_waiting))
    }

    /// Takes a row from its expired claim, and records the lost attempt.
    fn take_over(&self, row: &mut ClaimedRow, holder: &mut StoredClaim) -> Result<(), PortError> {
        let DeliveryId(id) = row.delivery.id;
        self.connection.run(sql::take_over, params![id, holder.claimed_at.0, Attempt::LOST_MESSAGE])?;
        holder.leave(row.has_slot);
        row.turn += 1;
        row.delivery.attempt = row.delivery.attempt.saturating_add(1).min(row.delivery.policy.max_attempts() + 1);
        Ok(())
    }
}
