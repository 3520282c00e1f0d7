//! Redrive and discard of dead letters: each batch is bounded and is one transaction.

use crate::query::Query;
use crate::sql;
use crate::writer::Tx;
use rusqlite::{Connection, params};
use std::collections::BTreeSet;
use tidegate_core::{AppName, DeadLetterId, DeadReason, TriggerId, TriggerName};
use tidegate_ports::{LetterBatch, LetterSelection, PortError, Resolution};

pub(crate) struct SelectedLetter {
    id: DeadLetterId,
    /// The trigger of the redriven delivery. A deleted trigger has a successor if another trigger
    /// has its name now.
    trigger: TriggerId,
    /// Whether the trigger is deleted and has no successor.
    is_trigger_deleted: bool,
}

/// The letters that a selection has found.
pub(crate) struct SelectedLetters(Vec<SelectedLetter>);

impl SelectedLetters {
    pub(crate) fn find(connection: &Connection, app: &AppName, selection: &LetterSelection) -> Result<Self, PortError> {
        let ids = |ids: &Vec<DeadLetterId>| serde_json::json!(ids).to_string();
        let params = params![
            app.as_str(),
            selection.ids.as_ref().map(ids),
            selection.trigger.as_ref().map(TriggerName::as_str),
            selection.fingerprint.as_deref(),
            selection.reason.map(DeadReason::as_str),
            selection.created_from.map(|at| at.0),
            selection.created_before.map(|at| at.0),
            selection.resolution.map(Resolution::as_str),
            selection.after.map(|after| after.0),
            selection.limit,
        ];
        let letters = connection.all(sql::letters_pick, params, |row| {
            Ok(SelectedLetter {
                id: DeadLetterId(row.get("id")?),
                trigger: TriggerId(row.get("trigger_id")?),
                is_trigger_deleted: row.get("gone")?,
            })
        })?;
        Ok(Self(letters))
    }

    pub(crate) fn batch(&self) -> LetterBatch {
        LetterBatch {
            matched: self.0.len() as u64,
            skipped: self.0.iter().filter(|letter| letter.is_trigger_deleted).count() as u64,
            last: self.0.last().map(|letter| letter.id),
            woken_lanes: Vec::new(),
        }
    }

    /// The letters that can be redriven.
    fn with_trigger(&self) -> impl Iterator<Item = &SelectedLetter> {
        self.0.iter().filter(|letter| !letter.is_trigger_deleted)
    }
}

impl Tx<'_> {
    pub(crate) fn redrive(&self, app: &AppName, selection: &LetterSelection) -> Result<LetterBatch, PortError> {
        self.connection.require_app(app)?;
        let letters = SelectedLetters::find(self.connection, app, selection)?;
        let ids = array(letters.with_trigger().map(|letter| letter.id));
        let pairs: Vec<_> = letters.with_trigger().map(|letter| (letter.id, letter.trigger)).collect();
        self.connection.run(sql::letters_redrive, params![serde_json::json!(pairs).to_string(), self.now.0])?;
        self.resolve_letters(&ids, Resolution::Redriven)?;
        let woken: BTreeSet<TriggerId> = letters.with_trigger().map(|letter| letter.trigger).collect();
        Ok(LetterBatch { woken_lanes: woken.into_iter().collect(), ..letters.batch() })
    }

    /// Discards the letters, including letters of deleted triggers.
    pub(crate) fn discard(&self, app: &AppName, selection: &LetterSelection) -> Result<LetterBatch, PortError> {
        self.connection.require_app(app)?;
        let letters = SelectedLetters::find(self.connection, app, selection)?;
        self.resolve_letters(&array(letters.0.iter().map(|letter| letter.id)), Resolution::Discarded)?;
        Ok(LetterBatch { skipped: 0, ..letters.batch() })
    }

    fn resolve_letters(&self, ids: &str, resolution: Resolution) -> Result<(), PortError> {
        self.connection.run(sql::letters_resolve, [ids, resolution.as_str()]).map(drop)
    }
}

/// The ids as a JSON array, for `json_each`.
fn array(ids: impl Iterator<Item = DeadLetterId>) -> String {
    serde_json::json!(ids.collect::<Vec<_>>()).to_string()
}
