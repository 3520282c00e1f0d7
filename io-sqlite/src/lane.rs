//! A lane: the current state of its trigger. A request reads the lane once for all of its rows.

use crate::claims::ClaimedRow;
use crate::rows;
use rusqlite::{Result, Row};
use std::sync::Arc;
use tidegate_core::{
    AppName, CallRow, DeadLetterId, Delivery, DeliveryId, EventId, Handler, Lease, Micros, PrincipalId, Standing,
    Timestamp, TriggerId, TriggerName,
};

pub(crate) struct Lane {
    pub(crate) trigger: TriggerId,
    pub(crate) app: AppName,
    name: TriggerName,
    version: i64,
    /// `None` if the trigger is deleted.
    handler: Option<Handler>,
    script_version: Option<i64>,
    runs_as: PrincipalId,
    pub(crate) standing: Standing,
    pub(crate) max_concurrency: Option<u32>,
}

/// The last row that a claim took from the lane's index. The free rows of the index are after it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floor {
    pub(crate) due_at: Timestamp,
    pub(crate) id: DeliveryId,
}

impl Floor {
    pub(crate) fn read(row: &Row<'_>) -> Result<Self> {
        Ok(Self { due_at: rows::time(row, "floor_due")?, id: DeliveryId(row.get("floor_id")?) })
    }

    pub(crate) fn of(row: &ClaimedRow) -> Self {
        Self { due_at: row.delivery.due_at, id: row.delivery.id }
    }
}

impl Lane {
    pub(crate) fn read(row: &Row<'_>) -> Result<Self> {
        let is_living = !row.get::<_, bool>("deleted")?;
        Ok(Self {
            trigger: TriggerId(row.get("id")?),
            app: rows::name(row, "app")?,
            name: rows::name(row, "name")?,
            version: row.get("version")?,
            handler: rows::handler(row)?.filter(|_| is_living),
            script_version: row.get::<_, Option<i64>>("script_version")?.filter(|_| is_living),
            runs_as: rows::name(row, "registered_by")?,
            standing: Standing::from_name(rows::text(row, "standing")?),
            max_concurrency: row.get("max_concurrency")?,
        })
    }

    /// The row of a call that was written to the lane.
    pub(crate) fn call_row(&self, id: DeliveryId, event_id: EventId, now: Timestamp, timeout: Micros) -> CallRow {
        CallRow {
            id,
            lease: Lease(1),
            event_id,
            now,
            timeout,
            trigger_id: self.trigger,
            app: self.app.clone(),
            trigger_name: self.name.clone(),
            trigger_version: self.version,
            handler: self.handler.clone(),
            script_version: self.script_version,
            registered_by: self.runs_as.clone(),
        }
    }

    /// A row of the lane that the claim `lease` takes. The columns are read by their positions in
    /// `claim.sql`.
    pub(crate) fn claimed_row(&self, row: &Row<'_>, lease: Lease) -> Result<ClaimedRow> {
        Ok(ClaimedRow { delivery: Arc::new(self.delivery(row, lease)?), turn: row.get(1)?, has_slot: row.get(5)? })
    }

    fn delivery(&self, row: &Row<'_>, lease: Lease) -> Result<Delivery> {
        Ok(Delivery {
            id: DeliveryId(row.get(0)?),
            trigger_id: self.trigger,
            trigger_name: self.name.clone(),
            trigger_version: self.version,
            event: rows::event(row, 18, self.app.clone())?,
            handler: self.handler.clone(),
            script_version: self.script_version,
            runs_as: self.runs_as.clone(),
            standing: self.standing,
            policy: rows::policy(row, 6)?,
            timeout: rows::millis(row, 13)?,
            attempt: row.get(3)?,
            lost: row.get(4)?,
            lease,
            due_at: rows::time(row, 2)?,
            enqueued_at: rows::time(row, 14)?,
            redrive_generation: row.get(15)?,
            reply_to: rows::inbox(row, 16)?,
            handles_letter: row.get::<_, Option<i64>>(17)?.map(DeadLetterId),
        })
    }
}
