//! The schema, as the migrations make it, stands in `migrations/sqlite/schema.golden`: a change of it is seen in review.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Row};
use std::path::Path;
use tempfile::TempDir;
use tidegate_io_sqlite::{SqliteOptions, SqliteStore};

/// Set to 1 to write the file anew.
const UPDATE: &str = "TIDEGATE_UPDATE_GOLDEN";

async fn schema(path: &Path) -> String {
    let mut connection = SqliteConnectOptions::new().filename(path).read_only(true).connect().await.expect("it opens");
    let ours = "select sql from sqlite_schema \
                where sql is not null and name not like 'sqlite_%' and tbl_name <> '_sqlx_migrations' \
                order by type desc, name";
    let rows = sqlx::query(ours).fetch_all(&mut connection).await.expect("the schema is read");
    connection.close().await.expect("it closes");
    let statements: Vec<String> = rows.iter().map(|row| format!("{};\n", row.get::<String, _>(0))).collect();
    statements.join("\n")
}

#[tokio::test]
async fn the_schema_is_the_golden_one() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("t.db");
    SqliteStore::open(&path, SqliteOptions::default()).await.expect("it opens").close().await;
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/sqlite/schema.golden");

    let actual = schema(&path).await;

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
    let first = schema(&path).await;
    SqliteStore::open(&path, SqliteOptions::default()).await.expect("it opens again").close().await;
    assert_eq!(schema(&path).await, first);
    assert!(first.contains("CREATE TABLE outbox"));
}
