//! The exchange: settles deliveries, then claims rows lane by lane.

use crate::error::OrRefused;
use crate::lane::Lane;
use crate::query::Query;
use crate::sql;
use crate::writer::Tx;
use rusqlite::params;
use tidegate_core::{Attempt, Delivery, ExchangeReply, LaneQuota, Micros, Reply, Settlement, Timestamp, TriggerId};
use tidegate_ports::PortError;

impl Tx<'_> {
    pub(crate) fn exchange(
        &self,
        settle: Vec<Settlement>,
        claim: Vec<LaneQuota>,
        lease_for: Micros,
    ) -> Result<Reply, PortError> {
        let settled = self.settle(settle)?;
        let mut claimed = Vec::new();
        for quota in claim {
            claimed.append(&mut self.claim(quota, lease_for)?);
        }
        let crate::settle::SettleResult { fenced, conflicted, woken } = settled;
        Ok(Reply::Exchange(ExchangeReply {
            now: self.now,
            fenced,
            conflicted,
            claimed,
            woken_lanes: woken.into_iter().collect(),
        }))
    }

    pub(crate) fn claim(&self, lane_quota: LaneQuota, lease_for: Micros) -> Result<Vec<Delivery>, PortError> {
        let lane = self.connection.maybe(sql::lane, [lane_quota.trigger.0], |row| {
            Ok(if row.get("waits")? { None } else { Some(Lane::read(row)?) })
        })?;
        let Some(lane) = lane.flatten() else { return Ok(Vec::new()) };
        let quota = match lane.max_concurrency {
            Some(limit) => lane_quota.quota.min(limit.saturating_sub(self.slots_taken(lane_quota.trigger)?)),
            None => lane_quota.quota,
        };
        if quota == 0 {
            return Ok(Vec::new());
        }
        let params = params![lane_quota.trigger.0, self.now.0, lane_quota.look_back.0, quota];
        let claimed = self.connection.all(sql::claim, params, |row| lane.delivery(row))?;
        self.lease(&claimed, self.now.plus(lease_for))?;
        if lane.max_concurrency.is_some() {
            self.take_slots(lane_quota.trigger, &claimed)?;
        }
        Ok(claimed)
    }

    /// Leases row by row. One statement for all rows would build temporary tables for its result
    /// and for its undo log, which costs more than the calls.
    fn lease(&self, claimed: &[Delivery], until: Timestamp) -> Result<(), PortError> {
        let mut lease = self.connection.prepare_cached(sql::lease).or_refused()?;
        for delivery in claimed {
            lease.execute(params![delivery.id.0, self.now.0, until.0, Attempt::LOST_MESSAGE]).or_refused()?;
        }
        Ok(())
    }

    /// The number of live leases of a lane. Deletes stale slots first.
    pub(crate) fn slots_taken(&self, trigger: TriggerId) -> Result<u32, PortError> {
        self.connection.run(sql::slots_free, [trigger.0])?;
        self.connection.one(sql::slots_count, [trigger.0, self.now.0], |row| row.get(0))
    }

    pub(crate) fn take_slots(&self, trigger: TriggerId, claimed: &[Delivery]) -> Result<(), PortError> {
        let mut take = self.connection.prepare_cached(sql::slots_take).or_refused()?;
        for delivery in claimed {
            take.execute([trigger.0, delivery.id.0, delivery.lease.0]).or_refused()?;
        }
        Ok(())
    }
}
