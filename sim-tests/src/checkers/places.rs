//! A committed delivery is in exactly one place: in the outbox, or where its last verdict put it.
//! None is lost, none appears from nowhere, and no rolled-back event is executed.

use super::ledger::{Ledger, Restore};
use super::terminal::{applied, ends};
use super::{Checker, Observation, Snapshot};
use crate::probes::Probes;
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::{DeadLetterId, DeliveryId};

#[derive(Default)]
pub(super) struct Places {
    /// The last id that was ever given.
    last_ever: DeliveryId,
    last: Ledger<DeliveryId>,
    open: Ledger<BTreeSet<DeliveryId>>,
    ended: Ledger<BTreeMap<DeliveryId, &'static str>>,
}

impl Places {
    fn record_new_rows(&mut self, snapshot: &Snapshot<'_>) {
        for row in snapshot.store.rows_after(*self.last) {
            *self.last = row.id;
            self.last_ever = self.last_ever.max(row.id);
            self.open.insert(row.id);
        }
    }
}

impl Checker for Places {
    fn name(&self) -> &'static str {
        "places"
    }

    fn ledgers(&mut self) -> Vec<&mut dyn Restore> {
        vec![&mut self.last, &mut self.open, &mut self.ended]
    }

    fn observe(
        &mut self,
        observation: &Observation<'_>,
        snapshot: &Snapshot<'_>,
        _: &mut Probes,
    ) -> Result<(), String> {
        match observation {
            Observation::OutboxChanged => self.record_new_rows(snapshot),
            Observation::ExecutionStarted { delivery, .. } if delivery.id > self.last_ever => {
                return Err(format!("{} is executed but was never committed", delivery.id));
            }
            Observation::StoreApplied { request, reply, .. } => {
                for settlement in applied(request, reply) {
                    let id = settlement.claim.delivery;
                    if ends(&settlement.verdict) {
                        self.open.remove(&id);
                        self.ended.insert(id, settlement.verdict.name());
                    } else if snapshot.store.row(id).is_none() {
                        return Err(format!("{id} is lost with its {}", settlement.verdict.name()));
                    }
                }
                self.record_new_rows(snapshot);
            }
            Observation::RunEnded => {
                if let Some(id) = self.open.iter().find(|id| snapshot.store.row(**id).is_none()) {
                    return Err(format!("{id} is nowhere"));
                }
                let mut letters: BTreeMap<DeliveryId, u32> = BTreeMap::new();
                for letter in snapshot.store.letters_after(DeadLetterId(i64::MIN)) {
                    *letters.entry(letter.delivery_id).or_default() += 1;
                }
                for (id, end) in self.ended.iter() {
                    let letters = letters.get(id).copied().unwrap_or_default();
                    if letters != u32::from(*end == "dead") {
                        return Err(format!("{id} ended as {end}, with {letters} dead letters"));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
