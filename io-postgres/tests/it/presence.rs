//! The claims of a daemon that has died end when its successor enters.

use crate::database::Database;
use crate::lane::Lane;
use sqlx::Executor;
use tidegate_core::{DiscoverReply, Reply, Request, Timestamp};
use tidegate_io_postgres::PgStore;
use tidegate_ports::DispatchStore;

/// The number of lanes with suspects or expired claims.
async fn suspect_lanes(store: &PgStore) -> usize {
    match store.call(Request::Discover).await {
        Ok(Reply::Discover(DiscoverReply { suspects, .. })) => suspects.len(),
        other => panic!("{other:?}"),
    }
}

/// A daemon `one` claims a row, and another daemon enters after `end`. Returns whether the row is a
/// suspect then.
async fn is_ended<F: Future<Output = ()>>(successor: &str, end: impl FnOnce(PgStore) -> F) -> bool {
    let (database, _store) = Database::with_store().await;
    let lane = Lane::open(&database).await;
    lane.store.enter("one").await.unwrap();
    let mut client = database.client().await;
    client.execute("select tidegate.emit('shop', 'x', data => '1')").await.unwrap();
    assert_eq!(lane.claim(1, Timestamp::EPOCH).await.len(), 1);
    end(lane.store.clone()).await;
    let store = database.store();
    store.enter(successor).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    suspect_lanes(&store).await == 1
}

/// Ends the session of the daemon, as the death of its process does.
async fn die(store: PgStore) {
    store.leave();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
}

#[tokio::test]
async fn the_claims_of_a_dead_daemon_end_when_its_successor_enters() {
    assert!(is_ended("one", die).await);
}

#[tokio::test]
async fn the_claims_of_a_living_daemon_stay() {
    assert!(!is_ended("one", async |_| ()).await);
}

#[tokio::test]
async fn the_claims_of_a_dead_daemon_with_another_name_stay() {
    assert!(!is_ended("two", die).await);
}
