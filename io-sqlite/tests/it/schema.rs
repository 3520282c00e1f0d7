//! The schema after all migrations is in `migrations/sqlite/schema.golden`, so that a review shows
//! each change of it.

use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use tempfile::TempDir;
use tidegate_io_sqlite::{SqliteOptions, SqliteStore};

/// The environment variable that makes the test write the file, if it is 1.
const UPDATE: &str = "TIDEGATE_UPDATE_GOLDEN";

fn schema(path: &Path) -> String {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the file opens");
    let ours = "select sql from sqlite_schema \
                where sql is not null and name not like 'sqlite_%' and tbl_name <> '_sqlx_migrations' \
                order by type desc, name";
    let mut tables = connection.prepare(ours).expect("the schema is read");
    let statements = tables.query_map((), |row| row.get::<_, String>(0)).expect("the schema is read");
    let statements: Vec<String> =
        statements.map(|text| format!("{};\n", text.expect("the statement is text"))).collect();
    statements.join("\n")
}

#[tokio::test]
async fn the_schema_equals_the_golden_file() {
    let directory = TempDir::new().expect("a temporary directory is created");
    let path = directory.path().join("t.db");
    SqliteStore::open(&path, SqliteOptions::default()).await.expect("the file opens").close().await;
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/sqlite/schema.golden");

    let actual = schema(&path);

    if std::env::var(UPDATE).is_ok_and(|value| value == "1") {
        std::fs::write(&golden, &actual).expect("the golden file is written");
    }
    let expected = std::fs::read_to_string(&golden).expect("the golden file is read");
    assert_eq!(
        actual, expected,
        "the schema has changed; if this is intended, run the test with {UPDATE}=1 and review the difference"
    );
}

/// The second opening runs the migrations again, which change nothing.
#[tokio::test]
async fn the_second_opening_changes_no_schema() {
    let directory = TempDir::new().expect("a temporary directory is created");
    let path = directory.path().join("t.db");
    SqliteStore::open(&path, SqliteOptions::default()).await.expect("the file opens").close().await;
    let first = schema(&path);
    SqliteStore::open(&path, SqliteOptions::default()).await.expect("the file opens again").close().await;
    assert_eq!(schema(&path), first);
    assert!(first.contains("CREATE TABLE outbox"));
}
