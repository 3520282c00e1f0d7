//! A drain of a few rows on SQLite by the same pieces that the scenarios stand on.

use std::sync::Arc;
use tidegate_bench::{App, Folder, Node, Noop, Tally, sqlite_exchange, sqlite_outbox_count};
use tidegate_core::Config;
use tidegate_io_sqlite::SqliteStore;

const ROWS: u32 = 2_500;

#[tokio::test]
async fn a_drain_ends_with_an_empty_table() {
    let folder = Folder::create().unwrap();
    let path = folder.make().unwrap().join("tidegate.db");
    let mut node = Node::<SqliteStore>::open(&path).await.unwrap();
    let lane = node
        .within(|store| async move {
            let app = App::deploy(&*store, &["go"]).await?;
            app.emit_many(&*store, "go", ROWS as usize, |_| {}).await?;
            app.lane(&*store, "go").await
        })
        .await
        .unwrap();
    let tally = Tally::until(u64::from(ROWS));
    node.dispatch(Config::default(), Arc::new(Noop), tally.clone());
    node.wake.wake([lane]);
    tally.reached(|_| {}).await.unwrap();
    assert_eq!(tally.done(), u64::from(ROWS));
    node.stop().await.unwrap();
    assert_eq!(sqlite_outbox_count(&path).await.unwrap(), 0);
}

#[tokio::test]
async fn what_waits_is_seen_to_wait() {
    let folder = Folder::create().unwrap();
    let path = folder.make().unwrap().join("tidegate.db");
    let node = Node::<SqliteStore>::open(&path).await.unwrap();
    node.within(|store| async move {
        let app = App::deploy(&*store, &["go"]).await?;
        app.emit_many(&*store, "go", 7, |_| {}).await
    })
    .await
    .unwrap();
    node.stop().await.unwrap();
    assert_eq!(sqlite_outbox_count(&path).await.unwrap(), 7);
}

#[tokio::test]
async fn the_raw_loop_drains_what_it_has_filled() {
    let folder = Folder::create().unwrap();
    let path = folder.make().unwrap().join("raw.db");
    assert!(sqlite_exchange(&path, ROWS, 1_000).await.unwrap() > 0.0);
}
