//! The statements for SQLite in `docs/database.md` run on the tables.

use crate::app::App;
use crate::fresh_file;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;

#[tokio::test]
async fn the_statements_of_the_page_on_tables_run() {
    let (store, path, _directory) = fresh_file().await;
    let app = App::deploy(&store, "shop").await;
    app.emit(3).await;
    app.claim(1, tidegate_core::Micros::from_secs(10)).await;
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/database.md"));
    let page = page.expect("the page exists");
    let (_, for_sqlite) = page.split_once("\nsqlite3 ").expect("the page shows how to open the file");
    let statements: Vec<&str> =
        for_sqlite.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(statements.len() >= 2, "only {} statements were found", statements.len());
    let client = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the file opens");
    for statement in statements {
        let mut prepared = client.prepare(statement).unwrap_or_else(|error| panic!("{error} in:\n{statement}"));
        let rows = prepared.query_map((), |_| Ok(())).expect("the statement runs").count();
        assert!(rows > 0, "no row for:\n{statement}");
    }
}
