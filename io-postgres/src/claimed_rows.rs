//! Decodes the rows that a claim returns: for each lane the current state of its trigger, then the
//! deliveries of the lane.

use crate::rows;
use sqlx::Row;
use sqlx::postgres::PgRow;
use std::collections::BTreeMap;
use tidegate_core::{
    AppName, DeadLetterId, Delivery, DeliveryId, Handler, Lease, Micros, PrincipalId, Standing, TriggerId, TriggerName,
};

/// The deliveries of one claim. The database sends the columns that all rows of a lane share only
/// once, in a separate row.
#[derive(Default)]
pub(crate) struct ClaimedRows {
    lanes: BTreeMap<TriggerId, Lane>,
    pub(crate) deliveries: Vec<Delivery>,
}

impl ClaimedRows {
    /// Adds a row of kind `lane` or `claimed`.
    pub(crate) fn push(&mut self, kind: &str, row: &PgRow) -> Result<(), sqlx::Error> {
        let trigger = TriggerId(row.try_get("trigger_id")?);
        if kind == "lane" {
            self.lanes.insert(trigger, Lane::from_row(row)?);
        } else {
            let lane = self.lanes.get(&trigger).ok_or(sqlx::Error::RowNotFound)?;
            self.deliveries.push(lane.delivery(row, trigger)?);
        }
        Ok(())
    }
}

/// The trigger of a lane.
struct Lane {
    app: AppName,
    trigger_name: TriggerName,
    trigger_version: i64,
    handler: Option<Handler>,
    script_version: Option<i64>,
    runs_as: PrincipalId,
    standing: Standing,
}

impl Lane {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            app: rows::name(row, "app")?,
            trigger_name: rows::name(row, "trigger_name")?,
            trigger_version: row.try_get("trigger_version")?,
            handler: rows::handler(row)?,
            script_version: row.try_get("script_version")?,
            runs_as: rows::name(row, "registered_by")?,
            standing: Standing::from_name(row.try_get("standing")?),
        })
    }

    /// Decodes a claimed row of this lane.
    fn delivery(&self, row: &PgRow, trigger_id: TriggerId) -> Result<Delivery, sqlx::Error> {
        Ok(Delivery {
            id: DeliveryId(row.try_get("id")?),
            trigger_id,
            trigger_name: self.trigger_name.clone(),
            trigger_version: self.trigger_version,
            event: rows::event(row, self.app.clone())?,
            handler: self.handler.clone(),
            script_version: self.script_version,
            runs_as: self.runs_as.clone(),
            standing: self.standing,
            policy: rows::policy(row)?,
            timeout: Micros::from_millis(rows::count(row, "timeout_ms")?.into()),
            attempt: rows::count(row, "attempt")?,
            lease: Lease(row.try_get("lease")?),
            due_at: rows::time(row, "due_at")?,
            enqueued_at: rows::time(row, "enqueued_at")?,
            redrive_generation: rows::count(row, "redrive_generation")?,
            reply_to: rows::inbox(row)?,
            handles_letter: row.try_get::<Option<i64>, _>("handles_letter_id")?.map(DeadLetterId),
        })
    }
}
