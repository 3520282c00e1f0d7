//! Staged effects: checked, then applied with their settlement.

use crate::memory::{Memory, Row};
use std::collections::BTreeSet;
use tidegate_core::{Cause, DeliveryId, Effects, PrincipalId, Source, TriggerId};
use tidegate_ports::Guard;

impl Memory {
    /// Whether somebody has written what the handler had read.
    pub(crate) fn conflicts(&self, delivery: DeliveryId, effects: &Effects) -> bool {
        let Some(app) = self.outbox.get(&delivery).map(|row| row.event.app.clone()) else { return false };
        effects.reads.iter().any(|read| {
            let at = (app.clone(), read.collection.clone(), read.key.clone());
            self.kv.get(&at).map(|value| value.version) != read.version
        })
    }

    /// Who a row's handler acts as: who registered the trigger, or for an invocation who calls.
    pub(crate) fn runs_as(&self, row: &Row) -> Option<PrincipalId> {
        let lane = self.triggers.get(&row.trigger)?;
        Some(if lane.hidden { row.event.actor.clone() } else { lane.trigger.registered_by.clone() })
    }

    pub(crate) fn apply_effects(&mut self, row: &Row, effects: &Effects, woken: &mut BTreeSet<TriggerId>) {
        let Some(actor) = self.runs_as(row) else { return };
        let (app, cause) = (row.event.app.clone(), Cause::handling(&row.event, actor));
        for write in &effects.writes {
            let mutated = match &write.value {
                Some(value) => self.put(&app, &write.collection, &write.key, value.clone(), Guard::Any, &cause).ok(),
                None => self.delete(&app, &write.collection, &write.key, Guard::Any, &cause).ok().flatten(),
            };
            woken.extend(mutated.into_iter().flat_map(|mutated| mutated.emitted.lanes));
        }
        for event in &effects.events {
            woken.extend(self.emit_one(&app, Source::App, event.clone(), &cause).lanes);
        }
    }
}
