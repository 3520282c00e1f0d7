//! Savepoints: a savepoint can undo a part of a transaction.

use crate::query::execute;
use rusqlite::Connection;

/// A savepoint that is open. Savepoints nest: [`Savepoint::end`] ends the savepoint that began
/// last.
pub(crate) struct Savepoint<'c>(&'c Connection);

impl<'c> Savepoint<'c> {
    pub(crate) fn begin(connection: &'c Connection) -> rusqlite::Result<Self> {
        execute(connection, "savepoint part")?;
        Ok(Self(connection))
    }

    /// Ends the savepoint. The writes since [`Savepoint::begin`] are undone unless `keep` is true.
    ///
    /// An error means that SQLite has lost the whole transaction, not only this part of it.
    pub(crate) fn end(self, keep: bool) -> rusqlite::Result<()> {
        if !keep {
            execute(self.0, "rollback to part")?;
        }
        execute(self.0, "release part")
    }
}
