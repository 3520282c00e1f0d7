//! Opens and closes the file.

use crate::blocking::blocking;
use crate::clock::Clock;
use crate::files::{self, Files};
use crate::migrations::{MigrateError, migrate};
use crate::query::Query;
use crate::readers::Readers;
use crate::sql;
use crate::writer::{Stats, Writer, WriterConnection};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tidegate_core::{StoreError, StoreErrorKind, Timestamp};
use tidegate_ports::{PortError, WakeHandle};

/// The size of the cache of prepared statements. It exceeds the number of statements, so that a
/// connection prepares each statement once.
const STATEMENTS_MAX: usize = 128;

/// The store on one file.
pub struct SqliteStore {
    pub(crate) writer: Writer,
    pub(crate) readers: Readers,
    pub(crate) dispatcher: OnceLock<WakeHandle>,
    files: Arc<Files>,
}

/// The options for opening the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    /// The number of read connections, at least 1.
    pub readers: u32,
    /// The longest time that a statement waits for a lock of another process, such as a backup.
    pub busy_timeout: Duration,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { readers: 4, busy_timeout: Duration::from_secs(5) }
    }
}

/// The reason why the file could not be opened. Nothing in the file was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has the file open.
    #[error("{} is open in another Tidegate process; only one process may open a file; stop the other process or use another file", path.display())]
    InUse { path: PathBuf },
    /// The directory or the lock file cannot be created.
    #[error("cannot create {}: {source}", path.display())]
    Make { path: PathBuf, source: io::Error },
    /// SQLite cannot open the file.
    #[error("SQLite cannot open {}: {source}", path.display())]
    Sqlite { path: PathBuf, source: rusqlite::Error },
    /// The migrations of the schema failed.
    #[error("cannot migrate the schema of {}: {source}", path.display())]
    Migrate { path: PathBuf, source: MigrateError },
    /// The system cannot start the thread of the writer.
    #[error("cannot start a thread to write to {}: {source}", path.display())]
    Thread { path: PathBuf, source: io::Error },
}

impl SqliteStore {
    /// Opens the file, or creates it. Applies missing migrations, and expires the claims of the
    /// process that had the file open before.
    pub async fn open(path: impl AsRef<Path>, options: SqliteOptions) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        blocking(move || Self::open_blocking(&path, options)).await
    }

    fn open_blocking(path: &Path, options: SqliteOptions) -> Result<Self, OpenError> {
        let make = |(path, source)| OpenError::Make { path, source };
        files::create_folder(path).map_err(make)?;
        let lock = files::lock(path).map_err(make)?.ok_or_else(|| OpenError::InUse { path: path.to_owned() })?;
        // An error about the file itself is reported by SQLite below.
        files::private(path).ok();
        let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
        let mut connection = connect(path, OpenFlags::default(), options).map_err(sqlite)?;
        set_wal_mode(&connection).map_err(sqlite)?;
        migrate(&mut connection).map_err(|source| OpenError::Migrate { path: path.to_owned(), source })?;
        connection.execute(sql::expire_claims, ()).map_err(sqlite)?;
        let newest = connection.query_row(sql::newest_time, (), |row| row.get(0)).map_err(sqlite)?;
        let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let readers = (0..options.readers.max(1)).map(|_| connect(path, read_only, options));
        let readers = Readers::new(readers.collect::<Result<_, _>>().map_err(sqlite)?);
        let clock = Arc::new(Clock::not_before(Timestamp(newest)));
        let files = Arc::new(Files::of(path));
        let reopen = {
            let path = path.to_owned();
            // Without the flag to create it: a file that is gone must not become an empty store.
            let existing = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            move || connect(&path, existing, options).and_then(|new| set_wal_mode(&new).map(|()| new))
        };
        let connection = WriterConnection::new(connection, Arc::clone(&files), reopen);
        let writer = Writer::start(connection, clock, lock);
        let writer = writer.map_err(|source| OpenError::Thread { path: path.to_owned(), source })?;
        Ok(Self { writer, readers, dispatcher: OnceLock::new(), files })
    }

    /// Checks that the file is the one that was opened, and that writes and reads succeed.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.check_writes(false).await?;
        self.readers.read(|connection| connection.one(sql::ping, (), |_| Ok(()))).await.map_err(|error| {
            let reason = match error {
                PortError::Store(error) => error.message,
                other => other.to_string(),
            };
            StoreError::not_applied(StoreErrorKind::Unavailable, format!("the SQLite file cannot be read: {reason}"))
        })
    }

    /// Fails while writes fail. Makes a trial write if the last result is old, so that a failure is
    /// found and its end is noticed without other writes. With `may_be_idle` it makes one only to
    /// notice the end of a failure.
    pub(crate) async fn check_writes(&self, may_be_idle: bool) -> Result<(), StoreError> {
        self.files.check()?;
        if self.writer.health().is_trial_due(may_be_idle) {
            // The health keeps the result.
            self.writer.write(|tx| tx.connection.run(sql::clock_set, [tx.now.0])).await.ok();
        }
        self.writer.health().failure().map_or(Ok(()), Err)
    }

    /// The counts of the writer.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.writer.stats()
    }

    /// Waits until all queued writes are committed and the log is moved into the file. After that,
    /// another process can open the file. Dropping the store does the same in the background.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

fn connect(path: &Path, flags: OpenFlags, options: SqliteOptions) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(options.busy_timeout)?;
    // Makes the plan of a statement independent of its parameters. Otherwise SQLite may parse and
    // plan a statement again for new parameters, which costs ten times the execution.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // 16 MiB. A commit may walk over the whole cache, and a larger cache made draining no faster.
    connection.pragma_update(None, "cache_size", -16_384)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

/// Sets the write-ahead log, and a sync of the disk at each commit.
///
/// The page size counts only for a new file. SQLite writes each page of the outbox to the log again
/// when the rows of the page are deleted, so a drain is faster with half as many pages.
fn set_wal_mode(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "page_size", 8_192)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::{StatementStatus, params};
    use tempfile::TempDir;

    /// Planning a statement costs many times its execution.
    #[test]
    fn a_statement_is_planned_once_for_all_parameters() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("t.db");
        let mut connection = connect(&path, OpenFlags::default(), SqliteOptions::default()).unwrap();
        migrate(&mut connection).unwrap();
        let mut statement = connection.prepare(sql::delivery_list).unwrap();
        for (trigger, limit) in [(None, 1), (Some("a"), 2), (None, 3)] {
            let params = params!["app", trigger, None::<&str>, None::<i64>, 1, limit, None::<i64>];
            assert!(statement.query(params).unwrap().next().unwrap().is_none());
        }
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
    }
}
