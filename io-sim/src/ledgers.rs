//! Lists the deliveries that ended without a dead letter: loops and abandoned executions.

use crate::memory::Memory;
use crate::rows::Loop;
use std::cmp::Reverse;
use tidegate_core::{AppName, DeliveryId, TriggerId, TriggerName};
use tidegate_ports::{AbandonedExecution, LoopEntry, PortError};

impl Memory {
    pub(crate) fn loop_entries(&self, app: &AppName, limit: u32) -> Result<Vec<LoopEntry>, PortError> {
        self.require_app(app)?;
        let entry = |((trigger, root), dropped): (&(TriggerId, _), &Loop)| {
            let trigger = self.name_in(app, *trigger)?;
            let (count, last_event_id, last_at) = (dropped.count, dropped.last_event, dropped.last_at);
            Some(LoopEntry { trigger, root_id: *root, count, last_event_id, last_at })
        };
        let mut entries: Vec<LoopEntry> = self.loops.iter().filter_map(entry).collect();
        entries.sort_by_key(|entry| Reverse((entry.last_at, entry.root_id)));
        entries.truncate(limit as usize);
        Ok(entries)
    }

    pub(crate) fn abandoned_of(
        &self,
        app: &AppName,
        before: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Vec<AbandonedExecution>, PortError> {
        self.require_app(app)?;
        let mut found: Vec<AbandonedExecution> = self
            .abandoned
            .iter()
            .filter(|row| before.is_none_or(|before| row.delivery < before))
            .filter_map(|row| {
                let outcome = row.outcome.as_ref();
                Some(AbandonedExecution {
                    delivery_id: row.delivery,
                    trigger: self.name_in(app, row.trigger)?,
                    event_id: row.event,
                    cause: row.cause,
                    outcome: outcome.map(|outcome| outcome.name().to_owned()),
                    status: outcome.map(|outcome| outcome.status),
                    message: outcome.and_then(|outcome| outcome.message.clone()),
                    at: row.at,
                })
            })
            .collect();
        found.sort_by_key(|execution| Reverse(execution.delivery_id));
        found.truncate(limit as usize);
        Ok(found)
    }

    /// The name of a trigger, if the trigger belongs to this app.
    fn name_in(&self, app: &AppName, trigger: TriggerId) -> Option<TriggerName> {
        let trigger = &self.triggers.get(&trigger)?.trigger;
        (trigger.app == *app).then(|| trigger.spec.name.clone())
    }
}
