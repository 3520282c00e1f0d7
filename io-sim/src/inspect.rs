//! Access to the tables for the checkers of a simulation, and changes that only a planted bug
//! makes.

use crate::memory::Memory;
use crate::rows::{Row, TriggerRow};
use std::ops::Bound;
use tidegate_core::{DeadLetterId, DeliveryId, Lease, MaxConcurrency, TriggerId};
use tidegate_ports::DeadLetter;

impl Memory {
    /// A row of the outbox.
    #[must_use]
    pub fn row(&self, id: DeliveryId) -> Option<&Row> {
        self.outbox.get(&id)
    }

    /// All rows with a greater id, in the order of their ids.
    pub fn rows_after(&self, id: DeliveryId) -> impl Iterator<Item = &Row> {
        self.outbox.range((Bound::Excluded(id), Bound::Unbounded)).map(|(_, row)| row)
    }

    /// Whether the deliveries of this trigger wait because the trigger is paused.
    #[must_use]
    pub fn is_paused(&self, trigger: TriggerId) -> bool {
        self.triggers.get(&trigger).is_some_and(TriggerRow::holds_deliveries)
    }

    /// The `max_concurrency` of this trigger.
    #[must_use]
    pub fn limit(&self, trigger: TriggerId) -> Option<u32> {
        self.triggers.get(&trigger)?.trigger.spec.max_concurrency.map(MaxConcurrency::get)
    }

    /// All dead letters with a greater id, in the order of their ids.
    pub fn letters_after(&self, id: DeadLetterId) -> impl Iterator<Item = &DeadLetter> {
        self.letters.range((Bound::Excluded(id), Bound::Unbounded)).map(|(_, letter)| &letter.letter)
    }

    /// The number of all deliveries that were dropped because their chain was too deep.
    #[must_use]
    pub fn dropped_in_all(&self) -> u64 {
        self.loops.values().map(|entry| entry.count).sum()
    }

    /// The number of the last claim.
    #[must_use]
    pub fn last_claim(&self) -> Lease {
        Lease(self.last_claim)
    }

    /// Planted bug: changes a row.
    pub fn spoil(&mut self, id: DeliveryId, change: impl FnOnce(&mut Row)) {
        if let Some(mut row) = self.remove(id) {
            change(&mut row);
            self.insert(row);
        }
    }

    /// Planted bug: moves the floor of a lane past all rows that are due.
    pub fn spoil_floor(&mut self, trigger: TriggerId) {
        self.floors.insert(trigger, (self.now, DeliveryId(i64::MAX)));
    }

    /// Planted bug: removes a row and returns it.
    pub fn lose(&mut self, id: DeliveryId) -> Option<Row> {
        self.remove(id)
    }

    /// Planted bug: inserts a row that was removed, under its own id or another id.
    pub fn bring_back(&mut self, row: Row) {
        self.insert(row);
    }

    /// Planted bug: adds `by` to the number of dropped deliveries of one chain.
    pub fn spoil_loops(&mut self, by: u64) {
        if let Some(mut entry) = self.loops.first_entry() {
            entry.get_mut().count += by;
        }
    }

    /// Planted bug: removes the newest abandoned execution.
    pub fn lose_abandoned(&mut self) {
        self.abandoned.pop();
    }

    /// Planted bug: changes a dead letter.
    pub fn spoil_letter(&mut self, id: DeadLetterId, change: impl FnOnce(&mut DeadLetter)) {
        if let Some(letter) = self.letters.get_mut(&id) {
            change(&mut letter.letter);
        }
    }

    /// Planted bug: removes the dead letters of a delivery.
    pub fn lose_letters_of(&mut self, id: DeliveryId) {
        self.letters.retain(|_, letter| letter.letter.delivery_id != id);
    }

    /// Planted bug: sets the `max_concurrency` of a trigger, and returns the limit that it had.
    pub fn spoil_limit(&mut self, trigger: TriggerId, limit: Option<MaxConcurrency>) -> Option<MaxConcurrency> {
        let row = self.triggers.get_mut(&trigger)?;
        std::mem::replace(&mut row.trigger.spec.max_concurrency, limit)
    }
}
