//! Redrives and discards dead letters.

use crate::memory::Memory;
use crate::rows::{Letter, Row};
use std::collections::BTreeSet;
use tidegate_core::{AppName, DeadLetterId, TriggerId};
use tidegate_ports::{LetterBatch, LetterSelection, PortError, Resolution};

impl Memory {
    /// Puts the deliveries of the selected letters back in the outbox, in their state before the
    /// first attempt. A letter of a deleted trigger goes to the trigger that has its name now, or
    /// is skipped.
    pub fn redrive(&mut self, app: &AppName, selection: &LetterSelection) -> Result<LetterBatch, PortError> {
        let selected = self.select_letters(app, selection)?;
        let mut batch = batch_of(&selected);
        let mut woken_lanes: BTreeSet<TriggerId> = BTreeSet::new();
        for id in selected {
            let Some(stored) = self.letters.get(&id).cloned() else { continue };
            let Some(trigger) = self.living_trigger(&stored) else {
                batch.skipped += 1;
                continue;
            };
            let Letter { policy, timeout, letter, .. } = stored;
            let row = Row {
                redrive_generation: letter.redrive_generation + 1,
                previous_letter: Some(id),
                ..self.new_row(trigger, letter.event, policy, timeout)
            };
            self.insert(row);
            self.set_resolution(id, Resolution::Redriven);
            woken_lanes.insert(trigger);
        }
        Ok(LetterBatch { woken_lanes: woken_lanes.into_iter().collect(), ..batch })
    }

    /// Marks the selected letters as discarded.
    pub fn discard(&mut self, app: &AppName, selection: &LetterSelection) -> Result<LetterBatch, PortError> {
        let selected = self.select_letters(app, selection)?;
        selected.iter().for_each(|id| self.set_resolution(*id, Resolution::Discarded));
        Ok(batch_of(&selected))
    }

    pub(crate) fn count(&self, app: &AppName, selection: &LetterSelection) -> Result<LetterBatch, PortError> {
        let selected = self.select_letters(app, &LetterSelection { limit: u32::MAX, ..selection.clone() })?;
        let is_skipped =
            |id: &&DeadLetterId| self.letters.get(id).is_some_and(|letter| self.living_trigger(letter).is_none());
        Ok(LetterBatch { skipped: selected.iter().filter(is_skipped).count() as u64, ..batch_of(&selected) })
    }

    /// The trigger of a letter, or if that is deleted the trigger that has its name and source now.
    fn living_trigger(&self, letter: &Letter) -> Option<TriggerId> {
        let own = self.triggers.get(&letter.trigger)?;
        if !own.deleted {
            return Some(letter.trigger);
        }
        let source = |id: TriggerId| self.triggers.get(&id).map(|row| row.trigger.spec.rule.source());
        let named = self.find_trigger(&letter.app, &letter.letter.trigger)?;
        (source(named) == source(letter.trigger)).then_some(named)
    }

    fn set_resolution(&mut self, id: DeadLetterId, resolution: Resolution) {
        if let Some(letter) = self.letters.get_mut(&id) {
            letter.letter.resolution = Some(resolution);
        }
    }

    fn select_letters(&self, app: &AppName, selection: &LetterSelection) -> Result<Vec<DeadLetterId>, PortError> {
        self.require_app(app)?;
        let LetterSelection { ids, trigger, fingerprint, reason, created_from, created_before, .. } = selection;
        let is_wanted = |letter: &&Letter| {
            let letter = &letter.letter;
            letter.resolution != Some(Resolution::Redriven)
                && ids.as_ref().is_none_or(|ids| ids.contains(&letter.id))
                && (ids.is_some() && selection.resolution.is_none() || letter.resolution == selection.resolution)
                && trigger.as_ref().is_none_or(|trigger| *trigger == letter.trigger)
                && fingerprint.as_ref().is_none_or(|fingerprint| *fingerprint == letter.fingerprint)
                && reason.is_none_or(|reason| reason == letter.reason)
                && created_from.is_none_or(|from| letter.created_at >= from)
                && created_before.is_none_or(|before| letter.created_at < before)
                && selection.after.is_none_or(|after| letter.id > after)
        };
        let of_app = self.letters.values().filter(|letter| letter.app == *app);
        Ok(of_app.filter(is_wanted).take(selection.limit as usize).map(|letter| letter.letter.id).collect())
    }
}

fn batch_of(selected: &[DeadLetterId]) -> LetterBatch {
    LetterBatch { matched: selected.len() as u64, last: selected.last().copied(), ..LetterBatch::default() }
}
