//! The connection of the writer. It is opened again after a failure.

use crate::error::refused;
use crate::files::Files;
use rusqlite::Connection;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_core::StoreError;

/// The time between two checks of the files. Writes within it may go to a deleted file.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// The time between two attempts to open the file again.
const REOPEN_INTERVAL: Duration = Duration::from_secs(1);

type Reopen = Box<dyn Fn() -> rusqlite::Result<Connection> + Send>;

pub(crate) struct WriterConnection {
    connection: Connection,
    files: Arc<Files>,
    reopen: Reopen,
    checked_at: Instant,
    reopened_at: Option<Instant>,
    is_spoilt: bool,
}

impl WriterConnection {
    pub(crate) fn new(
        connection: Connection,
        files: Arc<Files>,
        reopen: impl Fn() -> rusqlite::Result<Connection> + Send + 'static,
    ) -> Self {
        let checked_at = Instant::now();
        Self { connection, files, reopen: Box::new(reopen), checked_at, reopened_at: None, is_spoilt: false }
    }

    /// The connection for the next transaction. The error is the reason why there is none.
    pub(super) fn ready(&mut self) -> Result<&Connection, StoreError> {
        if self.checked_at.elapsed() >= CHECK_INTERVAL {
            self.files.check()?;
            self.checked_at = Instant::now();
        }
        if self.is_spoilt && self.reopened_at.is_none_or(|at| at.elapsed() >= REOPEN_INTERVAL) {
            self.files.check()?;
            self.reopened_at = Some(Instant::now());
            self.connection = (self.reopen)().map_err(|error| refused(&error))?;
            self.is_spoilt = false;
        }
        Ok(&self.connection)
    }

    /// Opens the file again before a later transaction. After an I/O error a connection may stay
    /// unusable.
    pub(super) fn reopen_later(&mut self) {
        self.is_spoilt = true;
    }

    pub(super) fn into_inner(self) -> Connection {
        self.connection
    }
}
