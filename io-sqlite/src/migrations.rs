//! Migrations: applies the files of `migrations/sqlite` that the database does not have, in one
//! transaction.

use crate::sql;
use rusqlite::{Connection, TransactionBehavior, params};
use sha2::{Digest, Sha384};

/// A migration. The program contains its text.
struct Migration {
    version: i64,
    name: &'static str,
    text: &'static str,
}

macro_rules! migrations {
    ($($version:literal $file:literal $name:literal),+ $(,)?) => {
        &[$(Migration {
            version: $version,
            name: $name,
            text: include_str!(concat!("../../migrations/sqlite/", $file, "_", $name, ".sql")),
        }),+]
    };
}

/// All migrations in order.
const MIGRATIONS: &[Migration] = migrations![1 "0001" "initial", 2 "0002" "principals", 3 "0003" "retention"];

/// The reason why the migrations failed. Nothing in the file was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// A newer program has used the file.
    #[error(
        "the file has migration {0}, which this version of Tidegate does not know; nothing was changed; use the newer version that migrated the file"
    )]
    Newer(i64),
    /// The file has a migration with the same number and another text.
    #[error(
        "the file was migrated with another text of migration {0}; nothing was changed; use the \
         version that created the file, or another file"
    )]
    Another(i64),
    /// SQLite refused a statement.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// Applies the missing migrations in one transaction. It locks the file, so that other connections
/// wait.
pub(crate) fn migrate(connection: &mut Connection) -> Result<(), MigrateError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(sql::migrations_make)?;
    let applied = applied(&transaction)?;
    for (version, checksum) in &applied {
        match MIGRATIONS.iter().find(|known| known.version == *version) {
            None => return Err(MigrateError::Newer(*version)),
            Some(known) if known.checksum() != *checksum => return Err(MigrateError::Another(*version)),
            Some(_) => {}
        }
    }
    for missing in MIGRATIONS.iter().filter(|known| applied.iter().all(|(version, _)| *version != known.version)) {
        transaction.execute_batch(missing.text)?;
        transaction.execute(sql::migration_add, params![missing.version, missing.name, missing.checksum()])?;
    }
    Ok(transaction.commit()?)
}

impl Migration {
    fn checksum(&self) -> Vec<u8> {
        Sha384::digest(self.text).to_vec()
    }
}

fn applied(connection: &Connection) -> rusqlite::Result<Vec<(i64, Vec<u8>)>> {
    connection.prepare(sql::migrations_seen)?.query_map((), |row| row.try_into())?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// A file that is not in the list would never be applied.
    #[test]
    fn every_migration_file_is_in_the_list() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/sqlite");
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let files: BTreeSet<String> = names.filter(|name| name.ends_with(".sql")).collect();
        let listed = MIGRATIONS.iter().map(|known| format!("{:04}_{}.sql", known.version, known.name)).collect();
        assert_eq!(files, listed);
        assert!(MIGRATIONS.is_sorted_by_key(|known| known.version));
    }

    #[test]
    fn migrations_are_applied_once() {
        let mut connection = Connection::open_in_memory().unwrap();
        for _ in 0..2 {
            migrate(&mut connection).unwrap();
            assert_eq!(applied(&connection).unwrap().len(), MIGRATIONS.len());
        }
    }

    /// Checks that a migrated file with the statement `change` is refused with a message that
    /// contains `expected`, and stays unchanged.
    fn check_refused(change: &str, expected: &str) {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        connection.execute_batch(change).unwrap();
        let before = applied(&connection).unwrap();
        let error = migrate(&mut connection).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(applied(&connection).unwrap(), before);
    }

    #[test]
    fn a_file_of_a_newer_or_different_version_is_refused() {
        let newer = "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
                     values (9999, 'later', 1, x'00', -1); delete from _sqlx_migrations where version = 2";
        check_refused(newer, "migration 9999");
        check_refused("update _sqlx_migrations set checksum = x'00' where version = 1", "text of migration 1");
    }

    #[test]
    fn a_failed_migration_undoes_all_migrations() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("create table tokens (in_the_way)").unwrap();
        migrate(&mut connection).unwrap_err();
        let tables: i64 = connection.query_row("select count(*) from sqlite_schema", (), |row| row.get(0)).unwrap();
        assert_eq!(tables, 1);
    }
}
