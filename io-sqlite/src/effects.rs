//! Effects: checked and applied with the settlement of their delivery. No row needs a lock, because
//! one thread writes.

use crate::emit::Audience;
use crate::inline_claim::InlineClaims;
use crate::query::Query;
use crate::rows;
use crate::sql;
use crate::writer::Tx;
use std::collections::BTreeSet;
use tidegate_core::{AppName, Cause, DeliveryId, Effects, Parent, Source, TriggerId};
use tidegate_ports::PortError;

/// The lanes that got rows.
pub(crate) type WokenLanes = BTreeSet<TriggerId>;

impl Tx<'_> {
    /// Applies `effects` and returns true. Returns false and applies nothing if a key that the
    /// handler has read has another version now.
    pub(crate) fn apply_effects(
        &self,
        id: DeliveryId,
        effects: &Effects,
        woken: &mut WokenLanes,
    ) -> Result<bool, PortError> {
        if effects.is_empty() {
            return Ok(true);
        }
        let (app, cause) = self.cause_of(id)?;
        if self.reads_changed(&app, effects)? {
            return Ok(false);
        }
        let mut inline = InlineClaims::none();
        for write in &effects.writes {
            let mutated = match &write.value {
                Some(value) => Some(self.put(&app, &write.collection, &write.key, value, &cause, &mut inline)?),
                None => self.delete_value(&app, &write.collection, &write.key, &cause, &mut inline)?,
            };
            woken.extend(mutated.into_iter().flat_map(|mutated| mutated.emitted.lanes));
        }
        for event in &effects.events {
            woken.extend(self.fan_out(&app, Source::App, event, &cause, Audience::default(), &mut inline)?.lanes);
        }
        Ok(true)
    }

    /// The app of a delivery, and the cause for its effects and its dead letter.
    pub(crate) fn cause_of(&self, id: DeliveryId) -> Result<(AppName, Cause), PortError> {
        self.connection.one(sql::delivery_cause, [id.0], |row| {
            let parent = Parent {
                root_id: rows::event_id(row, "root_id")?,
                parent_id: rows::event_id(row, "event_id")?,
                depth: row.get::<_, u32>("depth")?.saturating_add(1),
            };
            let traceparent = row.get("traceparent")?;
            let actor = rows::name(row, "runs_as")?;
            Ok((rows::name(row, "app")?, Cause { actor, parent: Some(parent), traceparent }))
        })
    }

    fn reads_changed(&self, app: &AppName, effects: &Effects) -> Result<bool, PortError> {
        if effects.reads.is_empty() {
            return Ok(false);
        }
        let read = |read: &tidegate_core::ReadVersion| {
            serde_json::json!([read.collection, read.key, read.version.map_or(-1, |version| version.0)])
        };
        let reads: Vec<serde_json::Value> = effects.reads.iter().map(read).collect();
        let reads = serde_json::json!(reads).to_string();
        self.connection.one(sql::reads_changed, [app.as_str(), &reads], |row| row.get::<_, i64>(0).map(|n| n > 0))
    }
}
