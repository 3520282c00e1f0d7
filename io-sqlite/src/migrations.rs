//! Bringing the schema up to date: what the file has not seen of `migrations/sqlite`, all of it or nothing.

use crate::sql;
use rusqlite::{Connection, TransactionBehavior, params};
use sha2::{Digest, Sha384};

/// A migration. The program carries its text.
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

/// All of them, in their order.
const MIGRATIONS: &[Migration] = migrations![1 "0001" "initial", 2 "0002" "principals"];

/// Why a file's schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// It was used by a newer program.
    #[error("it has migration {0}, which this Tidegate does not know: a newer one has used the file; use that one")]
    Newer(i64),
    /// It was migrated by a program with another text for the same migration.
    #[error("its migration {0} is another than this Tidegate's: use the Tidegate that made the file, or another file")]
    Another(i64),
    /// SQLite refused a statement.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// Applies what is missing, in one transaction. Whoever else opens the file meanwhile waits.
pub(crate) fn migrate(connection: &mut Connection) -> Result<(), MigrateError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(sql::migrations_make)?;
    let seen = seen(&transaction)?;
    for (version, checksum) in &seen {
        match MIGRATIONS.iter().find(|known| known.version == *version) {
            None => return Err(MigrateError::Newer(*version)),
            Some(known) if known.checksum() != *checksum => return Err(MigrateError::Another(*version)),
            Some(_) => {}
        }
    }
    for missing in MIGRATIONS.iter().filter(|known| seen.iter().all(|(version, _)| *version != known.version)) {
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

fn seen(connection: &Connection) -> rusqlite::Result<Vec<(i64, Vec<u8>)>> {
    connection.prepare(sql::migrations_seen)?.query_map((), |row| row.try_into())?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// A file that stands in the folder and not in the list would never be applied.
    #[test]
    fn every_file_of_the_folder_is_in_the_list() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/sqlite");
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let files: BTreeSet<String> = names.filter(|name| name.ends_with(".sql")).collect();
        let listed = MIGRATIONS.iter().map(|known| format!("{:04}_{}.sql", known.version, known.name)).collect();
        assert_eq!(files, listed);
        assert!(MIGRATIONS.is_sorted_by_key(|known| known.version));
    }

    /// All of them are applied once, and then none.
    #[test]
    fn what_was_applied_is_not_applied_again() {
        let mut connection = Connection::open_in_memory().unwrap();
        for _ in 0..2 {
            migrate(&mut connection).unwrap();
            assert_eq!(seen(&connection).unwrap().len(), MIGRATIONS.len());
        }
    }

    /// `change` was done to a file that is up to date: it is told from one of ours, and left as it was.
    fn check_refused(change: &str, expected: &str) {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        connection.execute_batch(change).unwrap();
        let before = seen(&connection).unwrap();
        let error = migrate(&mut connection).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(seen(&connection).unwrap(), before);
    }

    #[test]
    fn a_file_of_a_newer_or_another_program_is_refused() {
        let newer = "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
                     values (9999, 'later', 1, x'00', -1); delete from _sqlx_migrations where version = 2";
        check_refused(newer, "migration 9999");
        check_refused("update _sqlx_migrations set checksum = x'00' where version = 1", "migration 1 is another");
    }

    /// A migration that fails leaves nothing of itself, nor of those before it.
    #[test]
    fn a_failure_undoes_all_of_them() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("create table tokens (in_the_way)").unwrap();
        migrate(&mut connection).unwrap_err();
        let tables: i64 = connection.query_row("select count(*) from sqlite_schema", (), |row| row.get(0)).unwrap();
        assert_eq!(tables, 1);
    }
}
