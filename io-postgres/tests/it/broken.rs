//! Connections that break while they are idle.

use crate::database::Database;
use sqlx::{Connection, Executor};
use tidegate_core::StoreErrorKind;
use tidegate_io_postgres::PgStore;

const CONNECTIONS: u32 = 8;

/// Opens the maximum number of connections.
async fn fill(store: &PgStore) {
    let pings: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.ping().await })
        })
        .collect();
    for ping in pings {
        ping.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn after_one_failure_all_idle_connections_are_dropped() {
    let database = Database::with_store().await.0;
    let store = database.store_with(CONNECTIONS);
    fill(&store).await;
    let mut client = database.client().await;
    let others = "datname = current_database() and pid <> pg_backend_pid()";
    let kill = format!("select pg_terminate_backend(pid, 5000) from pg_stat_activity where {others}");
    let killed = client.execute(sqlx::AssertSqlSafe(kill)).await.unwrap().rows_affected();
    assert!(killed > 2, "{killed} connections are too few for this test");

    let error = store.ping().await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unavailable, "{error}");
    for _ in 0..CONNECTIONS {
        store.ping().await.expect("the other connections are replaced");
    }
    client.close().await.ok();
    store.close().await;
    database.remove().await;
}
