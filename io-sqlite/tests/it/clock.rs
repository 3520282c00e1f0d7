//! A clock of the system that was set back: the store's clock goes on from its last time.

use crate::app::App;
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tidegate_core::{DiscoverReply, Micros, Reply, Request, Timestamp};
use tidegate_io_sqlite::{SqliteOptions, SqliteStore};
use tidegate_ports::DispatchStore as _;

const HOUR: Micros = Micros::from_secs(3_600);

fn system_now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970").as_micros() as i64)
}

async fn open(path: &Path) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::open(path, SqliteOptions::default()).await.expect("the file opens"))
}

async fn store_now(store: &SqliteStore) -> Timestamp {
    let Ok(Reply::Discover(DiscoverReply { now, .. })) = store.call(Request::Discover).await else {
        panic!("the store lists its lanes")
    };
    now
}

/// A file whose newest time is an hour ahead of the system's clock.
async fn file_of_a_later_time(path: &Path) -> Timestamp {
    open(path).await.close().await;
    let later = system_now().plus(HOUR);
    let file = Connection::open(path).expect("the file opens");
    file.execute("insert into floors (trigger_id, due_at, id) values (999, ?1, 1)", [later.0])
        .expect("the row is written");
    later
}

#[tokio::test]
async fn the_clock_goes_on_after_the_clock_of_the_system_was_set_back() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("t.db");
    let later = file_of_a_later_time(&path).await;
    let store = open(&path).await;
    let first = store_now(&store).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let second = store_now(&store).await;
    assert!(first >= later, "the clock never goes back");
    assert!(second.since(first) >= Micros::from_millis(300), "the clock went on by {:?}", second.since(first));
}

/// The last write of a busy store is older than the due times and schedules that depend on its
/// clock. So the clock itself is in the file.
#[tokio::test]
async fn a_restart_keeps_the_clock() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("t.db");
    file_of_a_later_time(&path).await;
    let store = open(&path).await;
    let app = App::deploy(&store, "orders").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let last = store_now(&store).await;
    store.close().await;
    drop(app);

    let file = Connection::open(&path).unwrap();
    file.execute("delete from floors", ()).unwrap();
    let store = open(&path).await;
    assert!(store_now(&store).await >= last);
}
