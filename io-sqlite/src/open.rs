//! Opening the file.

use crate::clock::Clock;
use crate::sql;
use crate::writer::{Stats, Writer};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqlitePool};
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::{StoreError, StoreErrorKind, Timestamp};

/// The store on one file.
pub struct SqliteStore {
    pub(crate) writer: Writer,
    pub(crate) readers: SqlitePool,
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
        source: sqlx::Error,
    },
    /// Its schema could not be brought up to date.
    #[error("the schema of {} could not be brought up to date: {source}", path.display())]
    Migrate {
        /// The file.
        path: PathBuf,
        /// Why. A version that is missing here means that a newer Tidegate has used the file.
        source: sqlx::migrate::MigrateError,
    },
}

impl SqliteStore {
    /// Opens the file, makes it if there is none, brings its schema up to date and expires the leases of the process
    /// that had it before.
    pub async fn open(path: impl AsRef<Path>, options: SqliteOptions) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let lock = lock(path)?;
        let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
        let connect = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(options.busy_timeout)
            .pragma("cache_size", "-65536")
            .statement_cache_capacity(128);
        let migrating =
            SqlitePoolOptions::new().max_connections(1).connect_with(connect.clone()).await.map_err(sqlite)?;
        let migrated = sqlx::migrate!("../migrations/sqlite").run(&migrating).await;
        migrating.close().await;
        migrated.map_err(|source| OpenError::Migrate { path: path.to_owned(), source })?;
        let mut connection = connect.connect().await.map_err(sqlite)?;
        sqlx::query(sql::expire_leases).execute(&mut connection).await.map_err(sqlite)?;
        let newest: i64 = sqlx::query_scalar(sql::newest_time).fetch_one(&mut connection).await.map_err(sqlite)?;
        let readers = SqlitePoolOptions::new()
            .max_connections(options.readers.max(1))
            .connect_with(connect.read_only(true).create_if_missing(false))
            .await
            .map_err(sqlite)?;
        let writer = Writer::start(connection, Arc::new(Clock::not_before(Timestamp(newest))), lock);
        Ok(Self { writer, readers })
    }

    /// Whether the file can be read.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query(sql::ping).execute(&self.readers).await.map(drop).map_err(|error| {
            StoreError::not_applied(StoreErrorKind::Unavailable, format!("SQLite does not answer: {error}"))
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
