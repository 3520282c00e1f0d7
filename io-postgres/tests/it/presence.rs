//! The claims of a daemon that has died end when its successor enters.

use crate::database::Database;
use crate::lane::Lane;
use sqlx::{AssertSqlSafe, Executor, PgConnection};
use std::time::{Duration, Instant};
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

/// A daemon `one` claims a row, and another daemon enters. Returns whether the row is a suspect
/// then.
async fn is_ended(one_dies: bool, successor: &str) -> bool {
    let (database, _store) = Database::with_store().await;
    let lane = Lane::open(&database).await;
    lane.store.enter("one").await.unwrap();
    let mut client = database.client().await;
    client.execute("select tidegate.emit('shop', 'x', data => '1')").await.unwrap();
    assert_eq!(lane.claim(1, Timestamp::EPOCH).await.len(), 1);
    let living = (!one_dies).then_some(lane);
    wait_for_sessions(&mut client, u32::from(living.is_some())).await;
    let store = database.store();
    store.enter(successor).await.unwrap();
    // The leases end a little later than the entry.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let is_ended = suspect_lanes(&store).await == 1;
    drop(living);
    is_ended
}

/// Waits until this many sessions hold the lock of a daemon.
async fn wait_for_sessions(client: &mut PgConnection, expected: u32) {
    let sessions = "select count(*) from pg_locks l join pg_database d on d.oid = l.database
        where d.datname = current_database() and l.locktype = 'advisory' and l.classid = tidegate.daemon_locks()";
    let deadline = Instant::now() + Duration::from_secs(10);
    while sqlx::query_scalar::<_, i64>(sessions).fetch_one(&mut *client).await.unwrap() != i64::from(expected) {
        assert!(Instant::now() < deadline, "the session of the dead daemon stays open");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn the_claims_of_a_dead_daemon_end_when_its_successor_enters() {
    assert!(is_ended(true, "one").await);
}

#[tokio::test]
async fn the_claims_of_a_living_daemon_stay() {
    assert!(!is_ended(false, "one").await);
}

#[tokio::test]
async fn the_claims_of_a_dead_daemon_with_another_name_stay() {
    assert!(!is_ended(true, "two").await);
}

/// After a restart of the server, no daemon ends the claims of another one that has not come back
/// yet.
#[tokio::test]
async fn a_daemon_that_enters_again_keeps_its_number_and_ends_no_claims() {
    let (database, store) = Database::with_store().await;
    let mut client = database.client().await;
    let enter = |daemon: &str| format!("select tidegate.enter('one', {daemon})");
    let one: i32 = sqlx::query_scalar(AssertSqlSafe(enter("null"))).fetch_one(&mut client).await.unwrap();
    let mut other = database.client().await;
    let two: i32 = sqlx::query_scalar(AssertSqlSafe(enter("null"))).fetch_one(&mut other).await.unwrap();
    assert_ne!(one, two);
    drop((client, other));
    let mut client = database.client().await;
    wait_for_sessions(&mut client, 0).await;
    let again: i32 = sqlx::query_scalar(AssertSqlSafe(enter(&two.to_string()))).fetch_one(&mut client).await.unwrap();
    assert_eq!(again, two);
    let left: Vec<i32> =
        sqlx::query_scalar("select daemon from tidegate.daemons order by daemon").fetch_all(&mut client).await.unwrap();
    assert_eq!(left, [one, two]);
    drop(store);
}
