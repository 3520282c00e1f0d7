//! Checks the effects of a settlement for conflicts, and applies them.

use crate::memory::Memory;
use crate::rows::Row;
use std::collections::BTreeSet;
use tidegate_core::{Cause, DeliveryId, Effects, PrincipalId, Source, TriggerId};
use tidegate_ports::Guard;

impl Memory {
    /// Whether a value that the handler read has another version now.
    pub(crate) fn conflicts(&self, delivery: DeliveryId, effects: &Effects) -> bool {
        let Some(app) = self.outbox.get(&delivery).map(|row| row.event.app.clone()) else { return false };
        effects.reads.iter().any(|read| {
            let address = (app.clone(), read.collection.clone(), read.key.clone());
            self.kv.get(&address).map(|value| value.version) != read.version
        })
    }

    /// The principal that a row's handler acts as: the one that registered the trigger, or the
    /// caller of an invocation.
    pub(crate) fn runs_as(&self, row: &Row) -> Option<PrincipalId> {
        let lane = self.triggers.get(&row.trigger)?;
        Some(if lane.hidden { row.event.actor.clone() } else { lane.trigger.registered_by.clone() })
    }

    pub(crate) fn apply_effects(&mut self, row: &Row, effects: &Effects, woken_lanes: &mut BTreeSet<TriggerId>) {
        let Some(actor) = self.runs_as(row) else { return };
        let (app, cause) = (row.event.app.clone(), Cause::handling(&row.event, actor));
        for write in &effects.writes {
            let mutation = match &write.value {
                Some(value) => self.put(&app, &write.collection, &write.key, value.clone(), Guard::Any, &cause).ok(),
                None => self.delete(&app, &write.collection, &write.key, Guard::Any, &cause).ok().flatten(),
            };
            woken_lanes.extend(mutation.into_iter().flat_map(|mutation| mutation.emitted.lanes));
        }
        for event in &effects.events {
            woken_lanes.extend(self.emit_one(&app, Source::App, event.clone(), &cause).lanes);
        }
    }
}
