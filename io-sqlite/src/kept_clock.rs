//! The store's clock in the file, from which the clock starts when the file is opened.

use crate::error::refused;
use crate::query::execute;
use crate::sql;
use rusqlite::Connection;
use tidegate_core::{Micros, StoreError, Timestamp};

/// The time that this process wrote last.
#[derive(Default)]
pub(crate) struct KeptClock {
    last: Timestamp,
}

/// How old the time in the file may be when a transaction commits. A write costs a page of the log.
const AGE_MAX: Micros = Micros::from_secs(1);

impl KeptClock {
    /// Adds the time to the transaction if the last one is old. A failure undoes the transaction.
    pub(crate) fn write_if_old(&mut self, connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
        if now.since(self.last) < AGE_MAX {
            return Ok(());
        }
        self.write(connection, now).map_err(|error| {
            execute(connection, "rollback").ok();
            refused(&error)
        })
    }

    pub(crate) fn write(&mut self, connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
        connection.prepare_cached(sql::clock_set)?.execute([now.0])?;
        self.last = now;
        Ok(())
    }
}
