//! The exchange: settles, then claims lane by lane.

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
        let crate::settle::Settled { fenced, conflicted, woken } = settled;
        Ok(Reply::Exchange(ExchangeReply {
            now: self.now,
            fenced,
            conflicted,
            claimed,
            woken_lanes: woken.into_iter().collect(),
        }))
    }

    pub(crate) fn claim(&self, asked: LaneQuota, lease_for: Micros) -> Result<Vec<Delivery>, PortError> {
        let lane = self.connection.maybe(sql::lane, [asked.trigger.0], |row| {
            Ok(if row.get("waits")? { None } else { Some(Lane::read(row)?) })
        })?;
        let Some(lane) = lane.flatten() else { return Ok(Vec::new()) };
        let quota = match lane.limit {
            Some(limit) => asked.quota.min(limit.saturating_sub(self.slots_taken(asked.trigger)?)),
            None => asked.quota,
        };
        if quota == 0 {
            return Ok(Vec::new());
        }
        let params = params![asked.trigger.0, self.now.0, asked.floor.0, quota];
        let claimed = self.connection.all(sql::claim, params, |row| lane.delivery(row))?;
        self.lease(&claimed, self.now.plus(lease_for))?;
        if lane.limit.is_some() {
            self.take_slots(asked.trigger, &claimed)?;
        }
        Ok(claimed)
    }

    /// Row by row: one statement for all of them would keep what it returns, and what it would have to undo, in tables that
    /// it makes for that, and the writer has nobody to be quicker than.
    fn lease(&self, claimed: &[Delivery], until: Timestamp) -> Result<(), PortError> {
        let mut lease = self.connection.prepare_cached(sql::lease).or_refused()?;
        for delivery in claimed {
            lease.execute(params![delivery.id.0, self.now.0, until.0, Attempt::LOST_MESSAGE]).or_refused()?;
        }
        Ok(())
    }

    /// How many live leases a lane has.
    pub(crate) fn slots_taken(&self, trigger: TriggerId) -> Result<u32, PortError> {
        self.connection.run(sql::slots_free, [trigger.0, self.now.0])?;
        self.connection.one(sql::slots_count, [trigger.0], |row| row.get(0))
    }

    pub(crate) fn take_slots(&self, trigger: TriggerId, claimed: &[Delivery]) -> Result<(), PortError> {
        let mut take = self.connection.prepare_cached(sql::slots_take).or_refused()?;
        for delivery in claimed {
            take.execute([trigger.0, delivery.id.0, delivery.lease.0]).or_refused()?;
        }
        Ok(())
    }
}
