//! The migration of the schema.
//!
//! An up-to-date schema is only read, so a role without rights to create can serve it. Migrations
//! have no deadline. A watch on another connection ends them if the server falls silent.

use crate::session::Session;
use crate::{PgError, PgStore, error, pool, sql};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::{Executor, Row};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;
use tidegate_core::{StoreError, StoreErrorKind};
use tokio::time::{Instant, sleep, timeout};

/// The migrations that the program contains.
static MIGRATIONS: Migrator = Migrator {
    table_name: Cow::Borrowed("tidegate._sqlx_migrations"),
    locking: false,
    ..sqlx::migrate!("../migrations/postgres")
};

/// The most time for connecting, and for each question about the schema.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long a migration waits for another one. A daemon tries again later.
const LOCK_MAX: Duration = Duration::from_secs(30);
const LOCK_PAUSE: Duration = Duration::from_millis(50);
/// The interval of the watch, and how many of its questions may fail in a row.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);
const SILENCES_MAX: u32 = 2;

/// The state of the schema, as far as this program knows it.
struct State {
    has_schema: bool,
    has_table: bool,
    /// The statement that lets the role create the schema, if the role may not.
    make_grant: Option<String>,
    /// The owner of the schema, if the role may not act as the owner.
    owner: Option<String>,
    /// The migrations that are not applied.
    missing: Vec<i64>,
}

impl PgStore {
    /// Applies the missing migrations. If several daemons call it at once, one applies them and the
    /// others wait. An up-to-date schema needs no right to create objects.
    pub async fn migrate(&self) -> Result<(), PgError> {
        let mut connection = self.connect_for_migration().await?;
        if state(&mut connection).await?.missing.is_empty() {
            return Ok(());
        }
        lock(&mut connection).await?;
        let state = state(&mut connection).await?;
        let (silence, migration) = (self.silence(), run(&mut connection, &state));
        tokio::select! {
            biased;
            result = migration => result,
            error = silence => Err(error),
        }
    }

    /// Checks that the schema is up to date, and changes nothing.
    pub async fn check_schema(&self) -> Result<(), PgError> {
        let state = state(&mut self.connect_for_migration().await?).await?;
        match state.missing.first() {
            None => Ok(()),
            Some(version) => {
                let message = format!(
                    "the schema of the database lacks migration {version}; nothing was changed; \
                     run `tidegate migrate` as the owner of the schema"
                );
                Err(PgError::Unavailable(StoreError::not_applied(StoreErrorKind::Unavailable, message)))
            }
        }
    }

    /// The SQL of the missing migrations, with the entries of the table of applied migrations. An
    /// operator can run it with psql.
    pub async fn migration_sql(&self) -> Result<String, PgError> {
        let state = state(&mut self.connect_for_migration().await?).await?;
        let mut text = String::new();
        if !state.has_schema {
            writeln!(text, "{};\n", sql::schema_make.trim_end()).expect("writing to a String cannot fail");
        }
        if !state.has_table {
            writeln!(text, "{}\n", sql::schema_table.trim_end()).expect("writing to a String cannot fail");
        }
        for migration in MIGRATIONS.iter().filter(|migration| state.missing.contains(&migration.version)) {
            let entry = sql::schema_entry
                .replace("$1", &migration.version.to_string())
                .replace("$2", &format!("'{}'", migration.description.replace('\'', "''")))
                .replace("$3", &format!("'\\x{}'", hex(&migration.checksum)));
            let sql = migration.sql.as_str().trim_end();
            writeln!(text, "begin;\n{sql}\n\n{};\ncommit;\n", entry.trim_end())
                .expect("writing to a String cannot fail");
        }
        Ok(text)
    }

    async fn connect_for_migration(&self) -> Result<PgConnection, PgError> {
        Ok(pool::open(&self.connect, &Session::of_migrations(), ANSWER_MAX).await?)
    }

    /// Returns when the server has not answered for a while.
    async fn silence(&self) -> PgError {
        let mut silences = 0;
        loop {
            sleep(WATCH_INTERVAL).await;
            // A server that refuses the connection is not silent.
            match pool::open(&self.connect, &Session::of_migrations(), ANSWER_MAX).await {
                Err(error @ sqlx::Error::Io(_)) if silences == SILENCES_MAX => return error.into(),
                Err(sqlx::Error::Io(_)) => silences += 1,
                _ => silences = 0,
            }
        }
    }
}

/// Reads the state of the schema.
async fn state(connection: &mut PgConnection) -> Result<State, PgError> {
    let silent = || PgError::Unavailable(StoreError::unknown("Postgres does not answer"));
    timeout(ANSWER_MAX, read_state(connection)).await.unwrap_or_else(|_| Err(silent()))
}

async fn read_state(connection: &mut PgConnection) -> Result<State, PgError> {
    let row = sqlx::query(sql::schema_state).fetch_one(&mut *connection).await?;
    let (has_schema, has_table) = (row.try_get("has_schema")?, row.try_get("has_table")?);
    let (make_grant, owner) = (row.try_get("make_grant")?, row.try_get("owner")?);
    if let Some(statement) = row.try_get::<Option<&str>, _>("use_grant")? {
        return Err(denied(statement));
    }
    let mut applied = Vec::new();
    if has_table {
        let missing: Vec<String> = sqlx::query_scalar(sql::schema_rights).fetch_all(&mut *connection).await?;
        if !missing.is_empty() {
            return Err(denied(&missing.join(" ")));
        }
        applied = sqlx::query(sql::schema_applied).fetch_all(connection).await?;
    }
    let mut missing: Vec<i64> = MIGRATIONS.iter().map(|migration| migration.version).collect();
    for row in applied {
        let (version, checksum) = (row.try_get("version")?, row.try_get::<&[u8], _>("checksum")?);
        let Some(migration) = MIGRATIONS.iter().find(|migration| migration.version == version) else {
            return Err(PgError::Newer(version));
        };
        if *migration.checksum != *checksum {
            return Err(PgError::Migrate(format!(
                "migration {version} was applied with another text; use the program that applied it, or a new database"
            )));
        }
        missing.retain(|one| *one != version);
    }
    Ok(State { has_schema, has_table, make_grant, owner, missing })
}

/// Waits until no other session migrates the schema.
async fn lock(connection: &mut PgConnection) -> Result<(), PgError> {
    let deadline = Instant::now() + LOCK_MAX;
    loop {
        let row = sqlx::query(sql::schema_lock).fetch_one(&mut *connection).await?;
        if row.try_get("locked")? {
            return Ok(());
        }
        if Instant::now() > deadline {
            let holder =
                row.try_get::<Option<i32>, _>("holder")?.map_or_else(String::new, |pid| format!("process {pid}"));
            let message = "another session migrates the schema; nothing was changed";
            let error = StoreError::not_applied(StoreErrorKind::Unavailable, message);
            return Err(PgError::Unavailable(error.with_detail(holder)));
        }
        sleep(LOCK_PAUSE).await;
    }
}

async fn run(connection: &mut PgConnection, state: &State) -> Result<(), PgError> {
    if let Some(statement) = &state.make_grant {
        return Err(denied(statement));
    }
    if let Some(owner) = &state.owner {
        let reason = format!("the role is not the owner of the schema; run `tidegate migrate` as {owner}");
        return Err(PgError::Migrate(reason));
    }
    if !state.has_schema {
        connection.execute(sql::schema_make).await.map_err(|error| failed(&error, "creating the schema"))?;
    }
    MIGRATIONS.run_direct(None, connection, false).await.map_err(|error| match error {
        MigrateError::VersionMissing(version) => PgError::Newer(version),
        MigrateError::ExecuteMigration(error, version) => failed(&error, &format!("migration {version}")),
        MigrateError::Execute(error) => failed(&error, "the table of migrations"),
        other => PgError::Migrate(other.to_string()),
    })
}

/// An error of a statement. Only a refusal of the statement is final.
fn failed(error: &sqlx::Error, place: &str) -> PgError {
    let mapped = error::store_ref(error);
    if mapped.kind == StoreErrorKind::Refused {
        PgError::Migrate(format!("{place}: {}", error::text(error)))
    } else {
        PgError::Unavailable(mapped)
    }
}

fn denied(statement: &str) -> PgError {
    let message = "the role of the daemon lacks a right in the database";
    let error = StoreError::not_applied(StoreErrorKind::Refused, message);
    PgError::Refused(error.with_detail(format!("the owner can grant it: {statement}")))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
