//! Staged effects: checked, then applied with their settlement. The writer is alone, so nothing needs a lock.

use crate::emit::Audience;
use crate::error::port;
use crate::rows;
use crate::sql;
use crate::writer::{OrRefused, Tx};
use sqlx::Row;
use std::collections::BTreeSet;
use tidegate_core::{AppName, Cause, DeliveryId, Effects, EventId, Parent, Source, TriggerId};
use tidegate_driver::PortError;

impl Tx<'_> {
    /// Whether they were applied: none of them is if somebody has written what the handler had read.
    pub(crate) async fn apply_effects(
        &mut self,
        id: DeliveryId,
        effects: &Effects,
        woken: &mut BTreeSet<TriggerId>,
    ) -> Result<bool, PortError> {
        if effects.is_empty() {
            return Ok(true);
        }
        let (app, cause) = self.cause_of(id).await?;
        if self.reads_changed(&app, effects).await? {
            return Ok(false);
        }
        for write in &effects.writes {
            let mutated = match &write.value {
                Some(value) => Some(self.put(&app, &write.collection, &write.key, value, &cause).await?),
                None => self.delete_value(&app, &write.collection, &write.key, &cause).await?,
            };
            woken.extend(mutated.into_iter().flat_map(|mutated| mutated.emitted.woken));
        }
        for event in &effects.events {
            woken.extend(self.fan_out(&app, Source::App, event, &cause, Audience::default()).await?.woken);
        }
        Ok(true)
    }

    /// The chain that a delivery's effects and its dead letter continue.
    pub(crate) async fn cause_of(&mut self, id: DeliveryId) -> Result<(AppName, Cause), PortError> {
        let row = sqlx::query(sql::delivery_cause).bind(id.0).fetch_one(&mut *self.connection).await.or_refused()?;
        let read = || -> Result<(AppName, Cause), sqlx::Error> {
            let parent = Parent {
                root_id: EventId(row.try_get("root_id")?),
                parent_id: EventId(row.try_get("event_id")?),
                depth: rows::count(&row, "depth")?.saturating_add(1),
            };
            let traceparent = row.try_get("traceparent")?;
            let actor = rows::name(&row, "runs_as")?;
            Ok((rows::name(&row, "app")?, Cause { actor, parent: Some(parent), traceparent }))
        };
        read().map_err(port)
    }

    async fn reads_changed(&mut self, app: &AppName, effects: &Effects) -> Result<bool, PortError> {
        if effects.reads.is_empty() {
            return Ok(false);
        }
        let read = |read: &tidegate_core::ReadVersion| {
            serde_json::json!([read.collection, read.key, read.version.map_or(-1, |version| version.0)])
        };
        let reads: Vec<serde_json::Value> = effects.reads.iter().map(read).collect();
        let changed: i64 = sqlx::query_scalar(sql::reads_changed)
            .bind(app.as_str())
            .bind(serde_json::json!(reads).to_string())
            .fetch_one(&mut *self.connection)
            .await
            .or_refused()?;
        Ok(changed > 0)
    }
}
