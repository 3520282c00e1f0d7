//! What people do about dead letters: a bounded batch of them in one transaction.

use crate::error::port;
use crate::sql;
use crate::writer::{OrRefused, Tx};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use std::collections::BTreeSet;
use tidegate_core::{AppName, DeadLetterId, DeadReason, TriggerId, TriggerName};
use tidegate_driver::{LetterBatch, LetterSelection, PortError, Resolution};

/// Letters that a selection found: each, its trigger, and whether that is gone.
pub(crate) struct Picked(Vec<(DeadLetterId, TriggerId, bool)>);

impl Picked {
    pub(crate) async fn find(
        connection: &mut SqliteConnection,
        app: &AppName,
        selection: &LetterSelection,
    ) -> Result<Self, PortError> {
        let ids = |ids: &Vec<DeadLetterId>| serde_json::json!(ids).to_string();
        let rows = sqlx::query(sql::letters_pick)
            .bind(app.as_str())
            .bind(selection.ids.as_ref().map(ids))
            .bind(selection.trigger.as_ref().map(TriggerName::as_str))
            .bind(selection.fingerprint.as_deref())
            .bind(selection.reason.map(DeadReason::as_str))
            .bind(selection.created_from.map(|at| at.0))
            .bind(selection.created_before.map(|at| at.0))
            .bind(selection.resolution.map(Resolution::as_str))
            .bind(selection.after.map(|after| after.0))
            .bind(selection.limit)
            .fetch_all(connection)
            .await
            .or_refused()?;
        let letter = |row: &SqliteRow| -> Result<_, sqlx::Error> {
            let (id, trigger) = (DeadLetterId(row.try_get("id")?), TriggerId(row.try_get("trigger_id")?));
            Ok((id, trigger, row.try_get("gone")?))
        };
        rows.iter().map(letter).collect::<Result<_, _>>().map(Self).map_err(port)
    }

    pub(crate) fn batch(&self) -> LetterBatch {
        LetterBatch {
            matched: self.0.len() as u64,
            skipped: self.0.iter().filter(|(_, _, gone)| *gone).count() as u64,
            last: self.0.last().map(|(id, ..)| *id),
            woken: Vec::new(),
        }
    }

    fn living(&self) -> impl Iterator<Item = (DeadLetterId, TriggerId)> {
        self.0.iter().filter(|(_, _, gone)| !gone).map(|(id, trigger, _)| (*id, *trigger))
    }
}

impl Tx<'_> {
    pub(crate) async fn redrive(mut self, app: AppName, selection: LetterSelection) -> Result<LetterBatch, PortError> {
        self.require_app(&app).await?;
        let picked = Picked::find(self.connection, &app, &selection).await?;
        let ids = array(picked.living().map(|(id, _)| id));
        let query = sqlx::query(sql::letters_redrive).bind(&ids).bind(self.now.0);
        query.execute(&mut *self.connection).await.or_refused()?;
        self.resolve_letters(ids, Resolution::Redriven).await?;
        let woken: BTreeSet<TriggerId> = picked.living().map(|(_, trigger)| trigger).collect();
        Ok(LetterBatch { woken: woken.into_iter().collect(), ..picked.batch() })
    }

    /// A letter can be laid aside whatever became of its trigger.
    pub(crate) async fn discard(mut self, app: AppName, selection: LetterSelection) -> Result<LetterBatch, PortError> {
        self.require_app(&app).await?;
        let picked = Picked::find(self.connection, &app, &selection).await?;
        self.resolve_letters(array(picked.0.iter().map(|(id, ..)| *id)), Resolution::Discarded).await?;
        Ok(LetterBatch { skipped: 0, ..picked.batch() })
    }

    async fn resolve_letters(&mut self, ids: String, resolution: Resolution) -> Result<(), PortError> {
        let query = sqlx::query(sql::letters_resolve).bind(ids).bind(resolution.as_str());
        query.execute(&mut *self.connection).await.or_refused().map(drop)
    }
}

/// Ids for `json_each`.
fn array(ids: impl Iterator<Item = DeadLetterId>) -> String {
    serde_json::json!(ids.collect::<Vec<_>>()).to_string()
}
