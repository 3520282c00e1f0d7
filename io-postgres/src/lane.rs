//! What the claimed rows of a lane have in common, its trigger as it is now, and what each row adds to it.

use crate::rows;
use sqlx::Row;
use sqlx::postgres::PgRow;
use tidegate_core::{
    AppName, DeadLetterId, Delivery, DeliveryId, Handler, Lease, Micros, PrincipalId, Standing, TriggerId, TriggerName,
};

pub(crate) struct Lane {
    app: AppName,
    trigger_name: TriggerName,
    trigger_version: i64,
    handler: Option<Handler>,
    script_version: Option<i64>,
    runs_as: PrincipalId,
    standing: Standing,
}

impl Lane {
    /// What a row says of its lane.
    pub(crate) fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
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

    /// A claimed row of this lane.
    pub(crate) fn delivery(&self, row: &PgRow, trigger_id: TriggerId) -> Result<Delivery, sqlx::Error> {
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
