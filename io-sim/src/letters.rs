//! What people do about dead letters.

use crate::memory::{Letter, Memory, Row};
use std::collections::BTreeSet;
use tidegate_core::{AppName, DeadLetterId, DeliveryId, Lease, Timestamp, TriggerId};
use tidegate_ports::{LetterBatch, LetterSelection, PortError, Resolution};

impl Memory {
    /// Delivers letters again, from the first attempt on.
    pub fn redrive(&mut self, app: &AppName, selection: &LetterSelection) -> Result<LetterBatch, PortError> {
        let picked = self.picked(app, selection)?;
        let mut batch = batch_of(&picked);
        let mut woken: BTreeSet<TriggerId> = BTreeSet::new();
        for id in picked {
            let Some(Letter { trigger, policy, timeout, letter, .. }) = self.letters.get(&id).cloned() else {
                continue;
            };
            if self.is_gone(trigger) {
                batch.skipped += 1;
                continue;
            }
            let row = Row {
                id: DeliveryId(self.next_id()),
                trigger,
                event: letter.event,
                policy,
                timeout,
                due_at: self.now,
                enqueued_at: self.now,
                lease: Lease(0),
                lease_until: Timestamp::EPOCH,
                leased_at: Timestamp::EPOCH,
                attempt: 0,
                failed: Vec::new(),
                redrive_generation: letter.redrive_generation + 1,
                previous_letter: Some(id),
                reply_to: None,
                script: None,
                executed: None,
                call_key: None,
                handles_letter: None,
            };
            self.insert(row);
            self.decide(id, Resolution::Redriven);
            woken.insert(trigger);
        }
        Ok(LetterBatch { woken_lanes: woken.into_iter().collect(), ..batch })
    }

    /// Closes letters.
    pub fn discard(&mut self, app: &AppName, selection: &LetterSelection) -> Result<LetterBatch, PortError> {
        let picked = self.picked(app, selection)?;
        picked.iter().for_each(|id| self.decide(*id, Resolution::Discarded));
        Ok(batch_of(&picked))
    }

    pub(crate) fn count(&self, app: &AppName, selection: &LetterSelection) -> Result<LetterBatch, PortError> {
        let picked = self.picked(app, &LetterSelection { limit: u32::MAX, ..selection.clone() })?;
        let gone = |id: &&DeadLetterId| self.letters.get(id).is_some_and(|letter| self.is_gone(letter.trigger));
        Ok(LetterBatch { skipped: picked.iter().filter(gone).count() as u64, ..batch_of(&picked) })
    }

    fn is_gone(&self, trigger: TriggerId) -> bool {
        self.triggers.get(&trigger).is_none_or(|lane| lane.deleted)
    }

    fn decide(&mut self, id: DeadLetterId, resolution: Resolution) {
        if let Some(letter) = self.letters.get_mut(&id) {
            letter.letter.resolution = Some(resolution);
        }
    }

    fn picked(&self, app: &AppName, selection: &LetterSelection) -> Result<Vec<DeadLetterId>, PortError> {
        self.require(app)?;
        let LetterSelection { ids, trigger, fingerprint, reason, created_from, created_before, .. } = selection;
        let wanted = |letter: &&Letter| {
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
        Ok(of_app.filter(wanted).take(selection.limit as usize).map(|letter| letter.letter.id).collect())
    }
}

fn batch_of(picked: &[DeadLetterId]) -> LetterBatch {
    LetterBatch { matched: picked.len() as u64, last: picked.last().copied(), ..LetterBatch::default() }
}
