//! The exchange: settles, then claims lane by lane.

use crate::dispatch::pairs;
use crate::error::port;
use crate::rows;
use crate::sql;
use crate::writer::{OrRefused, Tx};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use tidegate_core::{
    Attempt, Claim, Delivery, DeliveryId, LaneQuota, Lease, Micros, Reply, Settlement, Standing, TriggerId,
};
use tidegate_driver::PortError;

impl Tx<'_> {
    pub(crate) async fn exchange(
        mut self,
        settle: Vec<Settlement>,
        claim: Vec<LaneQuota>,
        lease_for: Micros,
    ) -> Result<Reply, PortError> {
        let settled = self.settle(settle).await?;
        let mut claimed = Vec::new();
        for quota in claim {
            claimed.extend(self.claim(quota, lease_for).await?);
        }
        let crate::settle::Settled { fenced, conflicted, woken } = settled;
        Ok(Reply::Exchange { now: self.now, fenced, conflicted, claimed, woken: woken.into_iter().collect() })
    }

    async fn claim(&mut self, asked: LaneQuota, lease_for: Micros) -> Result<Vec<Delivery>, PortError> {
        let lane =
            sqlx::query(sql::lane).bind(asked.trigger.0).fetch_optional(&mut *self.connection).await.or_refused()?;
        let Some(lane) = lane else { return Ok(Vec::new()) };
        if lane.try_get("waits").map_err(port)? {
            return Ok(Vec::new());
        }
        let limit: Option<u32> = lane.try_get("max_concurrency").map_err(port)?;
        let quota = match limit {
            Some(limit) => asked.quota.min(limit.saturating_sub(self.slots_taken(asked.trigger).await?)),
            None => asked.quota,
        };
        if quota == 0 {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(sql::claim)
            .bind(asked.trigger.0)
            .bind(self.now.0)
            .bind(asked.floor.0)
            .bind(self.now.plus(lease_for).0)
            .bind(quota)
            .bind(Attempt::LOST_MESSAGE)
            .fetch_all(&mut *self.connection)
            .await
            .or_refused()?;
        let claimed: Result<Vec<Delivery>, _> = rows.iter().map(|row| delivery(row, &lane, asked.trigger)).collect();
        // What an update returns comes in no promised order.
        let mut claimed = claimed.map_err(port)?;
        claimed.sort_by_key(|delivery| (delivery.due_at, delivery.id));
        if limit.is_some() {
            self.take_slots(asked.trigger, &claimed).await?;
        }
        Ok(claimed)
    }

    /// How many live leases a lane has.
    pub(crate) async fn slots_taken(&mut self, trigger: TriggerId) -> Result<u32, PortError> {
        sqlx::query(sql::slots_free)
            .bind(trigger.0)
            .bind(self.now.0)
            .execute(&mut *self.connection)
            .await
            .or_refused()?;
        sqlx::query_scalar(sql::slots_count).bind(trigger.0).fetch_one(&mut *self.connection).await.or_refused()
    }

    pub(crate) async fn take_slots(&mut self, trigger: TriggerId, claimed: &[Delivery]) -> Result<(), PortError> {
        let claims: Vec<Claim> =
            claimed.iter().map(|delivery| Claim { delivery: delivery.id, lease: delivery.lease }).collect();
        sqlx::query(sql::slots_take)
            .bind(trigger.0)
            .bind(pairs(&claims))
            .execute(&mut *self.connection)
            .await
            .or_refused()
            .map(drop)
    }
}

/// A leased row, with what its lane says.
pub(crate) fn delivery(row: &SqliteRow, lane: &SqliteRow, trigger_id: TriggerId) -> Result<Delivery, sqlx::Error> {
    let deleted: bool = lane.try_get("deleted")?;
    let timeout_ms: i64 = row.try_get("timeout_ms")?;
    Ok(Delivery {
        id: DeliveryId(row.try_get("id")?),
        trigger_id,
        trigger_name: rows::name(lane, "name")?,
        trigger_version: lane.try_get("version")?,
        event: rows::event(row, rows::name(lane, "app")?)?,
        handler: if deleted { None } else { rows::handler(lane)? },
        script_version: if deleted { None } else { lane.try_get("script_version")? },
        runs_as: rows::name(lane, "registered_by")?,
        standing: Standing::from_name(lane.try_get("standing")?),
        policy: rows::policy(row)?,
        timeout: Micros::from_millis(u64::try_from(timeout_ms).unwrap_or_default()),
        attempt: rows::count(row, "attempt")?,
        lease: Lease(row.try_get("lease")?),
        due_at: rows::time(row, "due_at")?,
        enqueued_at: rows::time(row, "enqueued_at")?,
        redrive_generation: rows::count(row, "redrive_generation")?,
        reply_to: rows::inbox(row)?,
        handles_letter: row.try_get::<Option<i64>, _>("handles_letter_id")?.map(tidegate_core::DeadLetterId),
    })
}
