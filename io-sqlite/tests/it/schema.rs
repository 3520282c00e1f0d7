//! The schema, as the migrations make it, stands in `migrations/sqlite/schema.golden`: a change of it is seen in review.

use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use tempfile::TempDir;
use tidegate_io_sqlite::{SqliteOptions, SqliteStore};

/// Set to 1 to write the file anew.
const UPDATE: &str = "TIDEGATE_UPDATE_GOLDEN";

fn schema(path: &Path) -> String {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("it opens");
    let ours = "select sql from sqlite_schema \
                where sql is not null and name not like 'sqlite_%' and tbl_name <> '_sqlx_migrations' \
                order by type desc, name";
    let mut tables = connection.prepare(ours).expect("the schema is read");
    let statements = tables.query_map((), |row| row.get::<_, String>(0)).expect("the schema is read");
    let statements: Vec<String> = statements.map(|text| format!("{};\n", text.expect("a text"))).collect();
    statements.join("\n")
}

#[tokio::test]
async fn the_schema_is_the_golden_one() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("t.db");
    SqliteStore::open(&path, SqliteOptions::default()).await.expect("it opens").close().await;
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/sqlite/schema.golden");

    let actual = schema(&path);

    if std::env::var(UPDATE).is_ok_and(|value| value == "1") {
        std::fs::write(&golden, &actual).expect("the golden file is written");
    }
    let expected = std::fs::read_to_string(&golden).expect("the golden file is read");
    assert_eq!(actual, expected, "if the schema is meant to change, run the test with {UPDATE}=1");
}

/// Opening it again migrates again, and changes nothing.
#[tokio::test]
async fn the_second_opening_changes_no_schema() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("t.db");
    SqliteStore::open(&path, SqliteOptions::default()).await.expect("it opens").close().await;
    let first = schema(&path);
    SqliteStore::open(&path, SqliteOptions::default()).await.expect("it opens again").close().await;
    assert_eq!(schema(&path), first);
    assert!(first.contains("CREATE TABLE outbox"));
}
