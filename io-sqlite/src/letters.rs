//! What people do about dead letters: a bounded batch of them in one transaction.

use crate::query::Query;
use crate::sql;
use crate::writer::Tx;
use rusqlite::{Connection, params};
use std::collections::BTreeSet;
use tidegate_core::{AppName, DeadLetterId, DeadReason, TriggerId, TriggerName};
use tidegate_ports::{LetterBatch, LetterSelection, PortError, Resolution};

/// Letters that a selection found: each, its trigger, and whether that is gone.
pub(crate) struct Picked(Vec<(DeadLetterId, TriggerId, bool)>);

impl Picked {
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
            Ok((DeadLetterId(row.get("id")?), TriggerId(row.get("trigger_id")?), row.get("gone")?))
        })?;
        Ok(Self(letters))
    }

    pub(crate) fn batch(&self) -> LetterBatch {
        LetterBatch {
            matched: self.0.len() as u64,
            skipped: self.0.iter().filter(|(_, _, gone)| *gone).count() as u64,
            last: self.0.last().map(|(id, ..)| *id),
            woken_lanes: Vec::new(),
        }
    }

    fn living(&self) -> impl Iterator<Item = (DeadLetterId, TriggerId)> {
        self.0.iter().filter(|(_, _, gone)| !gone).map(|(id, trigger, _)| (*id, *trigger))
    }
}

impl Tx<'_> {
    pub(crate) fn redrive(&self, app: &AppName, selection: &LetterSelection) -> Result<LetterBatch, PortError> {
        self.connection.require_app(app)?;
        let picked = Picked::find(self.connection, app, selection)?;
        let ids = array(picked.living().map(|(id, _)| id));
        self.connection.run(sql::letters_redrive, params![ids, self.now.0])?;
        self.resolve_letters(&ids, Resolution::Redriven)?;
        let woken: BTreeSet<TriggerId> = picked.living().map(|(_, trigger)| trigger).collect();
        Ok(LetterBatch { woken_lanes: woken.into_iter().collect(), ..picked.batch() })
    }

    /// A letter can be laid aside whatever became of its trigger.
    pub(crate) fn discard(&self, app: &AppName, selection: &LetterSelection) -> Result<LetterBatch, PortError> {
        self.connection.require_app(app)?;
        let picked = Picked::find(self.connection, app, selection)?;
        self.resolve_letters(&array(picked.0.iter().map(|(id, ..)| *id)), Resolution::Discarded)?;
        Ok(LetterBatch { skipped: 0, ..picked.batch() })
    }

    fn resolve_letters(&self, ids: &str, resolution: Resolution) -> Result<(), PortError> {
        self.connection.run(sql::letters_resolve, [ids, resolution.as_str()]).map(drop)
    }
}

/// Ids for `json_each`.
fn array(ids: impl Iterator<Item = DeadLetterId>) -> String {
    serde_json::json!(ids.collect::<Vec<_>>()).to_string()
}
