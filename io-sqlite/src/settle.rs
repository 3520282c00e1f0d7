//! Settlements: apply the verdicts of claimed rows. Nearly all settlements only delete their row.
//! For these, one statement checks the fence and deletes the row. The claims are read at their
//! first settlement and written after the last one.

use crate::claims::{NamedClaims, StoredClaim};
use crate::effects::WokenLanes;
use crate::emit::Audience;
use crate::error::OrRefused;
use crate::inline_claim::InlineClaims;
use crate::query::Query;
use crate::rows;
use crate::sql;
use crate::writer::Tx;
use rusqlite::params;
use tidegate_core::{
    Attempt, Claim, DeadLetterId, DeadReason, DeliveryId, LetterEvent, Settlement, Source, TriggerId, TriggerName,
    Verdict,
};
use tidegate_ports::{PortError, Resolution};

#[derive(Default)]
pub(crate) struct SettleResult {
    pub(crate) fenced: Vec<Claim>,
    pub(crate) conflicted: Vec<Claim>,
    pub(crate) woken: WokenLanes,
}

impl Tx<'_> {
    pub(crate) fn settle(&self, settlements: Vec<Settlement>) -> Result<SettleResult, PortError> {
        let mut settled = SettleResult::default();
        let mut claims = NamedClaims::default();
        let mut delete_if_held = self.connection.prepare_cached(sql::settle_done).or_refused()?;
        for Settlement { claim, verdict } in settlements {
            let applied = match claims.get(self, claim)? {
                None => None,
                Some(holder) => match holder.turn_of(claim.delivery) {
                    None => None,
                    Some(turn)
                        if only_deletes(&verdict)
                            && delete_if_held.execute([claim.delivery.0, turn]).or_refused()? > 0 =>
                    {
                        holder.leave(true);
                        Some(true)
                    }
                    Some(turn) => self.apply_if_held(holder, claim.delivery, turn, verdict, &mut settled.woken)?,
                },
            };
            match applied {
                Some(true) => {}
                Some(false) => settled.conflicted.push(claim),
                None => settled.fenced.push(claim),
            }
        }
        claims.store(self)?;
        Ok(settled)
    }

    /// Like [`Tx::apply`], if `holder` holds the row. `None` if the settlement is fenced.
    fn apply_if_held(
        &self,
        holder: &mut StoredClaim,
        id: DeliveryId,
        turn: i64,
        verdict: Verdict,
        woken: &mut WokenLanes,
    ) -> Result<Option<bool>, PortError> {
        let Some(was_executed) = self.is_executed(id, turn)? else { return Ok(None) };
        let executes = matches!(verdict, Verdict::Executed { .. });
        if executes && was_executed {
            // The outcome is already stored. The dispatcher did not get the answer and sent the
            // settlement again.
            return Ok(Some(true));
        }
        let is_applied = self.apply(id, verdict, woken)?;
        if is_applied && executes {
            holder.free_slot();
        } else if is_applied {
            holder.leave(!was_executed);
        }
        Ok(Some(is_applied))
    }

    /// Whether the row is executed. `None` if it has another turn, so that no claim with `turn`
    /// holds it.
    pub(crate) fn is_executed(&self, id: DeliveryId, turn: i64) -> Result<Option<bool>, PortError> {
        self.connection.maybe(sql::settle_valid, [id.0, turn], |row| row.get(0))
    }

    fn delete(&self, id: DeliveryId) -> Result<(), PortError> {
        self.connection.run(sql::outbox_delete, [id.0]).map(drop)
    }

    /// Applies a verdict and returns true. Returns false and changes nothing if the effects
    /// conflict.
    fn apply(&self, id: DeliveryId, verdict: Verdict, woken: &mut WokenLanes) -> Result<bool, PortError> {
        match verdict {
            Verdict::Done { effects } => {
                if !self.apply_effects(id, &effects, woken)? {
                    return Ok(false);
                }
                self.delete(id)?;
            }
            Verdict::Handled { effects } => {
                if !self.apply_effects(id, &effects, woken)? {
                    return Ok(false);
                }
                self.resolve(id, Resolution::Handled, None)?;
                self.delete(id)?;
            }
            Verdict::Executed { effects, outcome, reply } => {
                if !self.apply_effects(id, &effects, woken)? {
                    return Ok(false);
                }
                let outcome = serde_json::json!({
                    "outcome": outcome.name(), "status": outcome.status, "message": outcome.message,
                });
                self.connection.run(sql::settle_executed, params![id.0, outcome.to_string()])?;
                if let Some(reply) = reply {
                    // Not through a `serde_json::Value`, so that the body is kept byte for byte.
                    let reply = serde_json::to_string(&reply).unwrap_or_default();
                    self.connection.run(sql::call_key_reply, params![id.0, reply])?;
                }
            }
            Verdict::Replied => self.delete(id)?,
            Verdict::HandlerFailed { failed } => {
                self.resolve(id, Resolution::HandlerFailed, Some(&failed))?;
                self.delete(id)?;
            }
            Verdict::Retry { delay, failed } => {
                let params = params![id.0, self.now.plus(delay).0, text(&failed)];
                self.connection.run(sql::settle_retry, params)?;
            }
            Verdict::Deferred { delay } => {
                self.connection.run(sql::settle_deferred, [id.0, self.now.plus(delay).0])?;
            }
            Verdict::Dropped => {
                self.connection.run(sql::settle_dropped, [id.0, self.now.0])?;
                self.delete(id)?;
            }
            Verdict::Abandoned { cause } => {
                self.connection.run(sql::settle_abandoned, params![id.0, cause.as_str(), self.now.0])?;
                self.delete(id)?;
            }
            Verdict::Dead { reason, attempts, failed, fingerprint, disable_trigger } => {
                // The letter is written before the trigger is disabled, because it records the
                // version of the trigger that failed.
                woken.extend(self.write_letter(id, reason, attempts, failed.as_ref(), &fingerprint)?);
                if disable_trigger {
                    self.connection.run(sql::trigger_disable, [id.0])?;
                }
                self.delete(id)?;
            }
        }
        Ok(true)
    }

    fn resolve(&self, id: DeliveryId, resolution: Resolution, failed: Option<&Attempt>) -> Result<(), PortError> {
        let params = params![id.0, resolution.as_str(), failed.map(text)];
        self.connection.run(sql::letter_resolve, params).map(drop)
    }

    /// Writes the dead letter and fans out its event. Returns the lanes that got rows.
    fn write_letter(
        &self,
        id: DeliveryId,
        reason: DeadReason,
        attempts: u32,
        failed: Option<&Attempt>,
        fingerprint: &str,
    ) -> Result<Vec<TriggerId>, PortError> {
        let (app, cause) = self.cause_of(id)?;
        let params = params![id.0, reason.as_str(), attempts, failed.map(text), fingerprint, self.now.0];
        let (letter_id, trigger, dead, history) = self.connection.one(sql::settle_dead, params, |row| {
            let trigger: TriggerName = rows::name(row, "trigger_name")?;
            let dead = rows::named_event(row, app.clone())?;
            Ok((DeadLetterId(row.get("id")?), trigger, dead, rows::failed(row)?))
        })?;
        let letter_event = LetterEvent {
            id: letter_id,
            trigger: &trigger,
            reason,
            attempts,
            fingerprint,
            last: history.iter().rfind(|attempt| attempt.may_have_begun()),
            event: &dead,
        };
        let event = letter_event.to_event();
        let audience = Audience { only: None, letter: Some(letter_id) };
        Ok(self.fan_out(&app, Source::DeadLetter, &event, &cause, audience, &mut InlineClaims::none())?.lanes)
    }
}

/// Whether the verdict only deletes a row that has a slot.
fn only_deletes(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Done { .. }) && verdict.effects().is_none()
}

fn text(attempt: &Attempt) -> String {
    serde_json::json!(attempt).to_string()
}
