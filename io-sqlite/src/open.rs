//! Opening the file.

use crate::blocking::blocking;
use crate::clock::Clock;
use crate::migrations::{MigrateError, migrate};
use crate::query::Query;
use crate::readers::Readers;
use crate::sql;
use crate::writer::{Stats, Writer};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tidegate_core::{StoreError, StoreErrorKind, Timestamp};
use tidegate_ports::{PortError, WakeHandle};

/// More than there are statements: each is prepared once for a connection.
const STATEMENTS_MAX: usize = 128;

/// The store on one file.
pub struct SqliteStore {
    pub(crate) writer: Writer,
    pub(crate) readers: Readers,
    pub(crate) dispatcher: OnceLock<WakeHandle>,
}

/// How to open the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    /// Connections that read. At least one.
    pub readers: u32,
    /// How long a statement waits for a lock of another process, such as a backup.
    pub busy_timeout: Duration,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { readers: 4, busy_timeout: Duration::from_secs(5) }
    }
}

/// Why the file could not be opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it.
    #[error("{} is open in another Tidegate process; one file serves one process, stop that one or use another file", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The directory or the lock file cannot be made.
    #[error("cannot make {}: {source}", path.display())]
    Make {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// SQLite cannot open it.
    #[error("SQLite cannot open {}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// Its schema could not be brought up to date.
    #[error("the schema of {} could not be brought up to date: {source}", path.display())]
    Migrate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: MigrateError,
    },
    /// The system has no thread for its writer.
    #[error("cannot start a thread to write to {}: {source}", path.display())]
    Thread {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl SqliteStore {
    /// Opens the file, makes it if there is none, brings its schema up to date and expires the leases of the process
    /// that had it before.
    pub async fn open(path: impl AsRef<Path>, options: SqliteOptions) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        blocking(move || Self::open_blocking(&path, options)).await
    }

    fn open_blocking(path: &Path, options: SqliteOptions) -> Result<Self, OpenError> {
        let lock = lock(path)?;
        let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
        let mut connection = connect(path, OpenFlags::default(), options).map_err(sqlite)?;
        to_wal(&connection).map_err(sqlite)?;
        migrate(&mut connection).map_err(|source| OpenError::Migrate { path: path.to_owned(), source })?;
        connection.execute(sql::expire_leases, ()).map_err(sqlite)?;
        let newest = connection.query_row(sql::newest_time, (), |row| row.get(0)).map_err(sqlite)?;
        let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let readers = (0..options.readers.max(1)).map(|_| connect(path, read_only, options));
        let readers = Readers::new(readers.collect::<Result<_, _>>().map_err(sqlite)?);
        let clock = Arc::new(Clock::not_before(Timestamp(newest)));
        let writer = Writer::start(connection, clock, lock);
        let writer = writer.map_err(|source| OpenError::Thread { path: path.to_owned(), source })?;
        Ok(Self { writer, readers, dispatcher: OnceLock::new() })
    }

    /// Whether the file can be read.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.readers.read(|connection| connection.one(sql::ping, (), |_| Ok(()))).await.map_err(|error| {
            let why = match error {
                PortError::Store(error) => error.message,
                other => other.to_string(),
            };
            StoreError::not_applied(StoreErrorKind::Unavailable, format!("SQLite does not answer: {why}"))
        })
    }

    /// How the writer has worked so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.writer.stats()
    }

    /// Ends after what was asked for is written and the log is folded back into the file. Another process may have the
    /// file then. A store that is dropped does the same after its last write, unseen.
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
    // Otherwise what is bound may decide the plan, and then a statement is parsed and planned anew for each binding, which
    // costs ten times what it does.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // 16 MiB: a commit may walk over the whole cache, and a larger one drains no faster.
    connection.pragma_update(None, "cache_size", -16_384)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

/// Writes go to a log, and a commit has reached the disk before it is answered.
fn to_wal(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let make = |path: &Path, source| OpenError::Make { path: path.to_owned(), source };
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(|source| make(parent, source))?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock_path = PathBuf::from(name);
    let file = File::create(&lock_path).map_err(|source| make(&lock_path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(make(&lock_path, source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::{StatementStatus, params};
    use tempfile::TempDir;

    /// To plan a statement anew costs many times what it does.
    #[test]
    fn a_statement_is_planned_once_whatever_is_bound() {
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
