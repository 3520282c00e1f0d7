//! Staged effects: checked, then applied with their settlement.

use crate::memory::{Memory, Row};
use std::collections::BTreeSet;
use tidegate_core::{Cause, DeliveryId, Effects, Source, TriggerId};
use tidegate_driver::Guard;

impl Memory {
    /// Whether somebody has written what the handler had read.
    pub(crate) fn conflicts(&self, delivery: DeliveryId, effects: &Effects) -> bool {
        let Some(app) = self.outbox.get(&delivery).map(|row| row.event.app.clone()) else { return false };
        effects.reads.iter().any(|read| {
            let at = (app.clone(), read.collection.clone(), read.key.clone());
            self.kv.get(&at).map(|value| value.version) != read.version
        })
    }

    pub(crate) fn apply_effects(&mut self, row: &Row, effects: &Effects, woken: &mut BTreeSet<TriggerId>) {
        let Some(actor) = self.triggers.get(&row.trigger).map(|lane| lane.trigger.registered_by.clone()) else {
            return;
        };
        let (app, cause) = (row.event.app.clone(), Cause::handling(&row.event, actor));
        for write in &effects.writes {
            let mutated = match &write.value {
                Some(value) => self.put(&app, &write.collection, &write.key, value.clone(), Guard::Any, &cause).ok(),
                None => self.delete(&app, &write.collection, &write.key, Guard::Any, &cause).ok().flatten(),
            };
            woken.extend(mutated.into_iter().flat_map(|mutated| mutated.emitted.woken));
        }
        for event in &effects.events {
            woken.extend(self.emit_one(&app, Source::App, event.clone(), &cause).woken);
        }
    }
}
