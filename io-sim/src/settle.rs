//! Settlements: each passes the fence and the conflict check, and then its verdict is applied.

use crate::memory::Memory;
use crate::rows::{Abandoned, Letter, Loop, Row};
use std::collections::BTreeSet;
use tidegate_core::{
    Attempt, Cause, Claim, DeadLetterId, DeadReason, DeliveryId, Handler, LetterEvent, Micros, Settlement, Timestamp,
    TriggerId, Verdict,
};
use tidegate_ports::{DeadLetter, Resolution};

#[derive(Default)]
pub(crate) struct SettleReport {
    pub(crate) fenced: Vec<Claim>,
    pub(crate) conflicted: Vec<Claim>,
    pub(crate) woken_lanes: BTreeSet<TriggerId>,
}

impl Memory {
    pub(crate) fn settle(&mut self, settlements: Vec<Settlement>) -> SettleReport {
        let mut report = SettleReport::default();
        for Settlement { claim, verdict } in settlements {
            if !self.passes_fence(claim) {
                report.fenced.push(claim);
            } else if self.repeats_execution(claim.delivery, &verdict) {
                // The daemon did not get the reply to this settlement, and sends it again. The
                // settlement was applied the first time.
            } else if verdict.effects().is_some_and(|effects| self.conflicts(claim.delivery, effects)) {
                report.conflicted.push(claim);
            } else {
                self.apply(claim.delivery, verdict, &mut report.woken_lanes);
            }
        }
        report
    }

    fn repeats_execution(&self, id: DeliveryId, verdict: &Verdict) -> bool {
        let was_executed = |row: &Row| row.executed.is_some();
        matches!(verdict, Verdict::Executed { .. }) && self.outbox.get(&id).is_some_and(was_executed)
    }

    fn apply(&mut self, id: DeliveryId, verdict: Verdict, woken_lanes: &mut BTreeSet<TriggerId>) {
        match verdict {
            Verdict::Done { effects } => {
                if let Some(row) = self.remove(id) {
                    self.apply_effects(&row, &effects, woken_lanes);
                }
            }
            Verdict::Handled { effects } => {
                if let Some(row) = self.remove(id) {
                    self.resolve(row.handles_letter, Resolution::Handled, None);
                    self.apply_effects(&row, &effects, woken_lanes);
                }
            }
            Verdict::HandlerFailed { failed } => {
                if let Some(row) = self.remove(id) {
                    self.resolve(row.handles_letter, Resolution::HandlerFailed, Some(failed));
                }
            }
            Verdict::Retry { delay, failed } => {
                self.release(id, delay, |row| {
                    row.attempt += 1;
                    row.failed.push(failed);
                });
            }
            Verdict::Deferred { delay } => {
                self.release(id, delay, |_| ());
            }
            Verdict::Executed { effects, outcome, reply } => {
                let Some(row) = self.outbox.get_mut(&id) else { return };
                row.executed = Some(outcome);
                let row = row.clone();
                let key = row.call_key.as_ref().map(|key| (row.event.app.clone(), key.clone()));
                if let Some(call_key) = key.and_then(|key| self.call_keys.get_mut(&key)).filter(|_| reply.is_some()) {
                    call_key.reply = reply;
                }
                self.apply_effects(&row, &effects, woken_lanes);
            }
            Verdict::Replied => {
                self.remove(id);
            }
            Verdict::Dropped => {
                if let Some(row) = self.remove(id) {
                    let (last_event, last_at) = (row.event.id, self.now);
                    let entry = self.loops.entry((row.trigger, row.event.root_id));
                    let entry = entry.or_insert(Loop { count: 0, last_event, last_at });
                    *entry = Loop { count: entry.count + 1, last_event, last_at };
                }
            }
            Verdict::Abandoned { cause } => {
                if let Some(row) = self.remove(id) {
                    let (trigger, event, outcome, at) = (row.trigger, row.event.id, row.executed, self.now);
                    self.abandoned.push(Abandoned { delivery: id, trigger, event, cause, outcome, at });
                }
            }
            Verdict::Dead { reason, attempts, failed, fingerprint, disable_trigger } => {
                if let Some(row) = self.remove(id) {
                    let trigger = row.trigger;
                    // The letter is inserted before the trigger changes, because it contains the
                    // version of the trigger that failed.
                    self.insert_letter(row, reason, attempts, failed, fingerprint, woken_lanes);
                    if disable_trigger {
                        self.disable(trigger);
                    }
                }
            }
        }
    }

    fn disable(&mut self, trigger: TriggerId) {
        if let Some(lane) = self.triggers.get_mut(&trigger).filter(|lane| lane.trigger.spec.enabled) {
            lane.trigger.spec.enabled = false;
            lane.trigger.version += 1;
            lane.next_tick = None;
        }
    }

    pub(crate) fn release(&mut self, id: DeliveryId, delay: Micros, change: impl FnOnce(&mut Row)) {
        let due_at = self.now.plus(delay);
        if let Some(row) = self.outbox.get_mut(&id) {
            change(row);
            row.lease_until = Timestamp::EPOCH;
            row.is_suspect = row.lost > 0;
        }
        self.set_due(id, due_at);
    }

    /// Sets the resolution of a letter, unless a user has already redriven or discarded the letter.
    fn resolve(&mut self, letter: Option<DeadLetterId>, resolution: Resolution, failed: Option<Attempt>) {
        let Some(letter) = letter.and_then(|id| self.letters.get_mut(&id)).map(|letter| &mut letter.letter) else {
            return;
        };
        if !matches!(letter.resolution, Some(Resolution::Redriven | Resolution::Discarded)) {
            letter.resolution = Some(resolution);
            letter.handler_failure = failed;
        }
    }

    fn insert_letter(
        &mut self,
        row: Row,
        reason: DeadReason,
        attempts: u32,
        failed: Option<Attempt>,
        fingerprint: String,
        woken_lanes: &mut BTreeSet<TriggerId>,
    ) {
        let Some(lane) = self.triggers.get(&row.trigger) else { return };
        let (trigger, deleted) = (lane.trigger.clone(), lane.deleted);
        let script_version = match &trigger.spec.handler {
            Handler::Script(name) => {
                self.scripts.get(&(trigger.app.clone(), name.clone())).map(|script| script.version)
            }
            _ => None,
        };
        let id = DeadLetterId(self.next_id());
        let cause = Cause::handling(&row.event, trigger.registered_by.clone());
        let letter = DeadLetter {
            id,
            delivery_id: row.id,
            trigger: trigger.spec.name.clone(),
            trigger_version: trigger.version,
            handler: (!deleted).then(|| trigger.spec.handler.clone()),
            script_version: script_version.filter(|_| !deleted),
            principal: trigger.registered_by.clone(),
            event: row.event,
            reason,
            attempts,
            failed: row.failed.into_iter().chain(failed).collect(),
            fingerprint: fingerprint.clone(),
            enqueued_at: row.enqueued_at,
            created_at: self.now,
            resolution: None,
            handler_failure: None,
            redrive_generation: row.redrive_generation,
            previous_letter_id: row.previous_letter,
        };
        let letter_event = LetterEvent {
            id,
            trigger: &trigger.spec.name,
            reason,
            attempts,
            fingerprint: &fingerprint,
            last: letter.failed.iter().rfind(|attempt| attempt.may_have_begun()),
            event: &letter.event,
        };
        let event = letter_event.to_event();
        let (policy, timeout) = (row.policy, row.timeout);
        self.letters.insert(id, Letter { app: trigger.app.clone(), trigger: trigger.id, policy, timeout, letter });
        woken_lanes.extend(self.emit_letter(&trigger.app, event, &cause, id));
    }
}
