//! What checkers see of the tables, and the only way to spoil them: for bugs that are planted on purpose.

use crate::memory::{Memory, Row};
use tidegate_core::{DeadLetterId, DeliveryId, MaxConcurrency, TriggerId};
use tidegate_ports::DeadLetter;

impl Memory {
    /// A row, if it waits or runs.
    #[must_use]
    pub fn row(&self, id: DeliveryId) -> Option<&Row> {
        self.outbox.get(&id)
    }

    /// Every row with a later id, in order.
    pub fn rows_after(&self, id: DeliveryId) -> impl Iterator<Item = &Row> {
        self.outbox.range((std::ops::Bound::Excluded(id), std::ops::Bound::Unbounded)).map(|(_, row)| row)
    }

    /// Whether the rows of this trigger wait because somebody paused it.
    #[must_use]
    pub fn is_paused(&self, trigger: TriggerId) -> bool {
        self.triggers.get(&trigger).is_some_and(crate::memory::TriggerRow::waits)
    }

    /// Every dead letter with a later id, in order.
    pub fn letters_after(&self, id: DeadLetterId) -> impl Iterator<Item = &DeadLetter> {
        self.letters
            .range((std::ops::Bound::Excluded(id), std::ops::Bound::Unbounded))
            .map(|(_, letter)| &letter.letter)
    }

    /// All that was dropped for being too deep.
    #[must_use]
    pub fn dropped_in_all(&self) -> u64 {
        self.loops.values().map(|entry| entry.count).sum()
    }

    /// Changes a row behind everybody's back.
    pub fn spoil(&mut self, id: DeliveryId, change: impl FnOnce(&mut Row)) {
        if let Some(mut row) = self.remove(id) {
            change(&mut row);
            self.insert(row);
        }
    }

    /// Loses a row.
    pub fn lose(&mut self, id: DeliveryId) -> Option<Row> {
        self.remove(id)
    }

    /// Puts back a row that was lost, under the same id or another.
    pub fn bring_back(&mut self, row: Row) {
        self.insert(row);
    }

    /// Counts drops that never were.
    pub fn spoil_loops(&mut self, by: u64) {
        if let Some(mut entry) = self.loops.first_entry() {
            entry.get_mut().count += by;
        }
    }

    /// Loses the last entry of `abandoned`.
    pub fn lose_abandoned(&mut self) {
        self.abandoned.pop();
    }

    /// Changes a letter behind everybody's back.
    pub fn spoil_letter(&mut self, id: DeadLetterId, change: impl FnOnce(&mut DeadLetter)) {
        if let Some(letter) = self.letters.get_mut(&id) {
            change(&mut letter.letter);
        }
    }

    /// Loses the letters of this delivery.
    pub fn lose_letters_of(&mut self, id: DeliveryId) {
        self.letters.retain(|_, letter| letter.letter.delivery_id != id);
    }

    /// Sets a trigger's limit and returns the one before.
    pub fn spoil_limit(&mut self, trigger: TriggerId, limit: Option<MaxConcurrency>) -> Option<MaxConcurrency> {
        let row = self.triggers.get_mut(&trigger)?;
        std::mem::replace(&mut row.trigger.spec.max_concurrency, limit)
    }
}
