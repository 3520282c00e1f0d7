//! The exchange: settles deliveries, then claims rows lane by lane, and then suspects.
//!
//! A claim takes the rows above the floor of the lane. One thread writes, and the jobs have
//! different times. So no other row is free, except suspects: see the table `floors`.

use crate::claims::{ClaimedRow, ListedRow};
use crate::lane::{Floor, Lane};
use crate::query::Query;
use crate::settle::SettleResult;
use crate::sql;
use crate::writer::Tx;
use rusqlite::params;
use std::sync::Arc;
use tidegate_core::{
    Attempt, ClaimRoom, Delivery, ExchangeReply, LaneQuota, Micros, Reply, Settlement, SuspectClaim, TriggerId,
};
use tidegate_ports::PortError;

impl Tx<'_> {
    pub(crate) fn exchange(
        &self,
        settle: Vec<Settlement>,
        claim: Vec<LaneQuota>,
        suspect: Option<SuspectClaim>,
        claim_bytes_max: u64,
        lease_for: Micros,
    ) -> Result<Reply, PortError> {
        let SettleResult { fenced, conflicted, woken } = self.settle(settle)?;
        if let Some(claim) = suspect {
            self.end_expired(claim)?;
        }
        let (mut claimed, mut room) = (Vec::new(), ClaimRoom::new(claim_bytes_max));
        for quota in claim {
            claimed.append(&mut self.claim(quota, &mut room, lease_for)?);
        }
        let of_lanes = claimed.len();
        if let Some(claim) = suspect {
            claimed.append(&mut self.claim_suspects(claim, ClaimRoom::new(claim_bytes_max), lease_for)?);
        }
        let suspects = (claimed.len() - of_lanes) as u32;
        let (now, is_cut, woken_lanes) = (self.now, room.is_cut(), woken.into_iter().collect());
        Ok(Reply::Exchange(ExchangeReply { now, fenced, conflicted, claimed, suspects, is_cut, woken_lanes }))
    }

    /// The lane and its floor, unless the lane is missing or paused.
    pub(crate) fn open_lane(&self, trigger: TriggerId) -> Result<Option<(Lane, Floor)>, PortError> {
        let lane = self.connection.maybe(sql::lane, [trigger.0], |row| {
            Ok(if row.get("is_paused")? { None } else { Some((Lane::read(row)?, Floor::read(row)?)) })
        })?;
        Ok(lane.flatten())
    }

    fn claim(
        &self,
        quota: LaneQuota,
        room: &mut ClaimRoom,
        lease_for: Micros,
    ) -> Result<Vec<Arc<Delivery>>, PortError> {
        let LaneQuota { trigger, quota, starts, .. } = quota;
        let Some((lane, floor)) = self.open_lane(trigger)? else { return Ok(Vec::new()) };
        let quota = quota.min(self.free_slots(&lane)?);
        if quota == 0 {
            return Ok(Vec::new());
        }
        let rows = self.waiting_rows(&lane, floor, quota, room)?;
        if let Some(Floor { due_at, id }) = rows.last().map(Floor::of) {
            self.connection.run(sql::floor_set, [trigger.0, due_at.0, id.0])?;
        }
        self.add_claim(trigger, &rows, starts, lease_for)?;
        Ok(rows.into_iter().map(|row| row.delivery).collect())
    }

    /// The rows that claims may still take from the lane: all, or the free slots of a lane with a
    /// `max_concurrency`.
    fn free_slots(&self, lane: &Lane) -> Result<u32, PortError> {
        let Some(limit) = lane.max_concurrency else { return Ok(u32::MAX) };
        Ok(limit.saturating_sub(self.slots_taken(lane.trigger)?))
    }

    /// The next due rows above the floor.
    fn waiting_rows(
        &self,
        lane: &Lane,
        floor: Floor,
        quota: u32,
        room: &mut ClaimRoom,
    ) -> Result<Vec<ClaimedRow>, PortError> {
        let lease = self.new_lease();
        let mut fits = |row: &ClaimedRow| room.take(row.delivery.event.bytes());
        let params = params![lane.trigger.0, floor.due_at.0, floor.id.0, quota];
        let mut rows =
            self.connection.first(sql::claim_same_due, params, |row| lane.claimed_row(row, lease), &mut fits)?;
        let rest = quota.saturating_sub(rows.len() as u32);
        if rest > 0 {
            let params = params![lane.trigger.0, floor.due_at.0, self.now.0, rest];
            rows.append(&mut self.connection.first(
                sql::claim,
                params,
                |row| lane.claimed_row(row, lease),
                &mut fits,
            )?);
        }
        Ok(rows)
    }

    /// Ends the expired claims of a lane. Their rows become suspects.
    fn end_expired(&self, SuspectClaim { trigger, backoff, .. }: SuspectClaim) -> Result<(), PortError> {
        let backoff = i64::try_from(backoff.0).unwrap_or(i64::MAX);
        for claim in self.expired_claims(trigger)? {
            for ListedRow { id, turn, is_ahead } in &claim.deliveries {
                let held_ahead = params![id, turn, claim.claimed_at.0, Attempt::NEVER_BEGAN_MESSAGE];
                if *is_ahead && self.connection.run(sql::set_aside, held_ahead)? > 0 {
                    continue;
                }
                let params = params![id, turn, claim.claimed_at.0, self.now.0, backoff, Attempt::LOST_MESSAGE];
                self.connection.run(sql::lose, params)?;
            }
            self.delete_claim(&claim)?;
        }
        Ok(())
    }

    /// Claims the suspects of a lane that were held ahead. If there is none, it claims the first of
    /// those with the fewest losses.
    fn claim_suspects(
        &self,
        claim: SuspectClaim,
        mut room: ClaimRoom,
        lease_for: Micros,
    ) -> Result<Vec<Arc<Delivery>>, PortError> {
        let Some((lane, _)) = self.open_lane(claim.trigger)? else { return Ok(Vec::new()) };
        let quota = claim.quota.min(self.free_slots(&lane)?);
        let due = [lane.trigger.0, self.now.0];
        let Some(lost) = self.connection.maybe(sql::suspects_least_lost, due, |row| row.get::<_, u32>(0))? else {
            return Ok(Vec::new());
        };
        let lease = self.new_lease();
        let params = params![lane.trigger.0, self.now.0, lost, if lost > 0 { quota.min(1) } else { quota }];
        let fits = |row: &ClaimedRow| room.take(row.delivery.event.bytes());
        let rows = self.connection.first(sql::claim_suspects, params, |row| lane.claimed_row(row, lease), fits)?;
        for row in &rows {
            self.connection.run(sql::suspect_take, [row.delivery.id.0])?;
        }
        self.add_claim(lane.trigger, &rows, rows.len() as u32, lease_for)?;
        Ok(rows.into_iter().map(|row| row.delivery).collect())
    }
}
