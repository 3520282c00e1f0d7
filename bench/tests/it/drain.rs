//! A drain of a few rows on SQLite with the same parts as the scenarios.

use std::sync::Arc;
use tidegate_bench::{
    App, Cluster, Folder, Node, Noop, PostgresLoop, RawClaim, Tally, postgres_exchange, sqlite_exchange,
    sqlite_outbox_count,
};
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
    let tally = Tally::with_goal(u64::from(ROWS));
    node.dispatch(Config::default(), Arc::new(Noop), tally.clone());
    node.wake.wake([lane]);
    tally.wait_for_goal(|_| {}).await.unwrap();
    assert_eq!(tally.done(), u64::from(ROWS));
    node.stop().await.unwrap();
    assert_eq!(sqlite_outbox_count(&path).await.unwrap(), 0);
}

#[tokio::test]
async fn waiting_rows_are_counted() {
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
async fn the_raw_loop_drains_all_its_rows() {
    let folder = Folder::create().unwrap();
    let folder = folder.make().unwrap();
    for (name, claim) in [("one-row.db", RawClaim::OneRow), ("leases.db", RawClaim::Leases)] {
        assert!(sqlite_exchange(&folder.join(name), claim, ROWS, 1_000).await.unwrap() > 0.0);
    }
}

#[tokio::test]
async fn both_raw_loops_on_postgres_drain_all_their_rows() {
    let cluster = Cluster::start().await.unwrap();
    for exchange_loop in [PostgresLoop::Claims, PostgresLoop::Leases] {
        let database = cluster.database().await.unwrap();
        assert!(postgres_exchange(&database, exchange_loop, ROWS, 300).await.unwrap() > 0.0, "{exchange_loop:?}");
    }
}
