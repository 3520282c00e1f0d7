//! Savepoints: a savepoint can undo a part of a transaction.

use crate::query::execute;
use rusqlite::Connection;

/// A savepoint that is open.
pub(crate) struct Savepoint<'c> {
    connection: &'c Connection,
    part: Part,
}

/// The part of a transaction that a savepoint can undo.
///
/// Each part has a name of its own. SQLite ends the latest savepoint of a name, so a nested
/// savepoint with the same name, left open by a panic, would end in place of the outer one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    /// One job of a group.
    Job,
    /// The inline claim within a job.
    InlineClaim,
}

impl<'c> Savepoint<'c> {
    pub(crate) fn begin(connection: &'c Connection, part: Part) -> rusqlite::Result<Self> {
        let begin = match part {
            Part::Job => "savepoint job",
            Part::InlineClaim => "savepoint inline_claim",
        };
        execute(connection, begin)?;
        Ok(Self { connection, part })
    }

    /// Ends the savepoint, with all savepoints within it. The writes since [`Savepoint::begin`] are
    /// undone unless `keep` is true.
    ///
    /// An error means that the savepoint no longer exists: SQLite has lost the transaction.
    pub(crate) fn end(self, keep: bool) -> rusqlite::Result<()> {
        let (undo, release) = match self.part {
            Part::Job => ("rollback to job", "release job"),
            Part::InlineClaim => ("rollback to inline_claim", "release inline_claim"),
        };
        if !keep {
            execute(self.connection, undo)?;
        }
        execute(self.connection, release)
    }
}
