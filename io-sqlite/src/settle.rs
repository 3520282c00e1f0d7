//! Settlements: what becomes of claimed rows. Plain successes, which are nearly all, go by one statement.

use crate::dispatch::{claim_of, pairs};
use crate::emit::Audience;
use crate::error::port;
use crate::rows;
use crate::sql;
use crate::writer::{OrRefused, Tx};
use sqlx::Row;
use std::collections::BTreeSet;
use tidegate_core::{
    Attempt, Claim, DeadLetterId, DeadReason, DeliveryId, LetterEvent, Settlement, Source, TriggerId, TriggerName,
    Verdict,
};
use tidegate_driver::{PortError, Resolution};

#[derive(Default)]
pub(crate) struct Settled {
    pub(crate) fenced: Vec<Claim>,
    pub(crate) conflicted: Vec<Claim>,
    pub(crate) woken: BTreeSet<TriggerId>,
}

impl Tx<'_> {
    pub(crate) async fn settle(&mut self, settlements: Vec<Settlement>) -> Result<Settled, PortError> {
        let mut settled = Settled::default();
        if settlements.is_empty() {
            return Ok(settled);
        }
        let valid = self.valid(&settlements).await?;
        let mut done = Vec::new();
        for Settlement { claim, verdict } in settlements {
            if !valid.contains(&claim) {
                settled.fenced.push(claim);
            } else if matches!(verdict, Verdict::Done { .. }) && verdict.effects().is_none() {
                done.push(claim.delivery.0);
            } else if !self.apply(claim.delivery, verdict, &mut settled.woken).await? {
                settled.conflicted.push(claim);
            }
        }
        self.delete(&done).await?;
        Ok(settled)
    }

    async fn valid(&mut self, settlements: &[Settlement]) -> Result<BTreeSet<Claim>, PortError> {
        let claims = pairs(settlements.iter().map(|settlement| &settlement.claim));
        let rows = sqlx::query(sql::settle_valid).bind(claims).fetch_all(&mut *self.connection).await.or_refused()?;
        rows.iter().map(claim_of).collect::<Result<_, _>>().map_err(port)
    }

    async fn delete(&mut self, ids: &[i64]) -> Result<(), PortError> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids = serde_json::json!(ids).to_string();
        sqlx::query(sql::settle_done).bind(ids).execute(&mut *self.connection).await.or_refused().map(drop)
    }

    /// Whether it was applied; if not, its effects conflict.
    async fn apply(
        &mut self,
        id: DeliveryId,
        verdict: Verdict,
        woken: &mut BTreeSet<TriggerId>,
    ) -> Result<bool, PortError> {
        match verdict {
            Verdict::Done { effects } => {
                if !self.apply_effects(id, &effects, woken).await? {
                    return Ok(false);
                }
                self.delete(&[id.0]).await?;
            }
            Verdict::Handled { effects } => {
                if !self.apply_effects(id, &effects, woken).await? {
                    return Ok(false);
                }
                self.resolve(id, Resolution::Handled, None).await?;
                self.delete(&[id.0]).await?;
            }
            Verdict::Executed { effects, outcome, reply } => {
                // Only the first time: if its answer was lost, it is sent again under the same claim.
                let kept = serde_json::json!({
                    "outcome": outcome.name(), "status": outcome.status, "message": outcome.message,
                });
                let query = sqlx::query_scalar(sql::is_executed).bind(id.0);
                if query.fetch_one(&mut *self.connection).await.or_refused()? {
                    return Ok(true);
                }
                if !self.apply_effects(id, &effects, woken).await? {
                    return Ok(false);
                }
                let query = sqlx::query(sql::settle_executed).bind(id.0).bind(kept.to_string());
                query.execute(&mut *self.connection).await.or_refused()?;
                if let Some(reply) = reply {
                    // Not by way of a `Value`, so that it is kept byte for byte.
                    let reply = serde_json::to_string(&reply).unwrap_or_default();
                    let query = sqlx::query(sql::call_key_reply).bind(id.0).bind(reply);
                    query.execute(&mut *self.connection).await.or_refused()?;
                }
            }
            Verdict::Replied => self.delete(&[id.0]).await?,
            Verdict::HandlerFailed { failed } => {
                self.resolve(id, Resolution::HandlerFailed, Some(&failed)).await?;
                self.delete(&[id.0]).await?;
            }
            Verdict::Retry { delay, failed } => {
                let query = sqlx::query(sql::settle_retry).bind(id.0).bind(self.now.plus(delay).0).bind(text(&failed));
                query.execute(&mut *self.connection).await.or_refused()?;
            }
            Verdict::Deferred { delay } => {
                let query = sqlx::query(sql::settle_deferred).bind(id.0).bind(self.now.plus(delay).0);
                query.execute(&mut *self.connection).await.or_refused()?;
            }
            Verdict::Dropped => {
                let query = sqlx::query(sql::settle_dropped).bind(id.0).bind(self.now.0);
                query.execute(&mut *self.connection).await.or_refused()?;
                self.delete(&[id.0]).await?;
            }
            Verdict::Abandoned { cause } => {
                let query = sqlx::query(sql::settle_abandoned).bind(id.0).bind(cause.as_str()).bind(self.now.0);
                query.execute(&mut *self.connection).await.or_refused()?;
                self.delete(&[id.0]).await?;
            }
            Verdict::Dead { reason, attempts, failed, fingerprint, disable_trigger } => {
                // First, because the letter tells of the version that failed.
                woken.extend(self.bury(id, reason, attempts, failed.as_ref(), &fingerprint).await?);
                if disable_trigger {
                    let query = sqlx::query(sql::trigger_disable).bind(id.0);
                    query.execute(&mut *self.connection).await.or_refused()?;
                }
                self.delete(&[id.0]).await?;
            }
        }
        Ok(true)
    }

    async fn resolve(
        &mut self,
        id: DeliveryId,
        resolution: Resolution,
        failed: Option<&Attempt>,
    ) -> Result<(), PortError> {
        let query = sqlx::query(sql::letter_resolve).bind(id.0).bind(resolution.as_str()).bind(failed.map(text));
        query.execute(&mut *self.connection).await.or_refused().map(drop)
    }

    /// Writes the letter, and fires the triggers that listen for it.
    async fn bury(
        &mut self,
        id: DeliveryId,
        reason: DeadReason,
        attempts: u32,
        failed: Option<&Attempt>,
        fingerprint: &str,
    ) -> Result<Vec<TriggerId>, PortError> {
        let (app, cause) = self.cause_of(id).await?;
        let letter = sqlx::query(sql::settle_dead)
            .bind(id.0)
            .bind(reason.as_str())
            .bind(attempts)
            .bind(failed.map(text))
            .bind(fingerprint)
            .bind(self.now.0)
            .fetch_one(&mut *self.connection)
            .await
            .or_refused()?;
        let letter_id = DeadLetterId(letter.try_get("id").map_err(port)?);
        let trigger: TriggerName = rows::name(&letter, "trigger_name").map_err(port)?;
        let (dead, history) = (rows::event(&letter, app.clone()).map_err(port)?, rows::failed(&letter).map_err(port)?);
        let told = LetterEvent {
            id: letter_id,
            trigger: &trigger,
            reason,
            attempts,
            fingerprint,
            last: history.last(),
            event: &dead,
        };
        let event = told.to_event();
        let audience = Audience { only: None, letter: Some(letter_id) };
        Ok(self.fan_out(&app, Source::DeadLetter, &event, &cause, audience).await?.woken)
    }
}

fn text(attempt: &Attempt) -> String {
    serde_json::json!(attempt).to_string()
}
