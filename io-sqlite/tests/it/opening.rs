//! The file's life: one process at a time, nothing acknowledged is lost, a restart waits for no lease.

use crate::app::{App, hold};
use futures_util::FutureExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tidegate_core::{Attempt, ExecError, Lease, Micros};
use tidegate_io_sqlite::{OpenError, SqliteOptions, SqliteStore};
use tidegate_ports::DeliveryState;

async fn open(path: &Path) -> Result<Arc<SqliteStore>, OpenError> {
    SqliteStore::open(path, SqliteOptions::default()).await.map(Arc::new)
}

/// Opens the file as soon as the one who had it has let go of it.
async fn open_soon(path: &Path) -> Arc<SqliteStore> {
    let begun = Instant::now();
    loop {
        match open(path).await {
            Ok(store) => return store,
            Err(OpenError::InUse { .. }) if begun.elapsed() < Duration::from_secs(20) => {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn the_directory_and_the_file_are_made() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("a/b/tidegate.db");
    let store = open(&path).await.expect("it opens");
    store.ping().await.expect("it answers");
    assert!(path.is_file());
}

#[tokio::test]
async fn the_second_opener_is_told_that_the_file_is_in_use() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("tidegate.db");
    let first = open(&path).await.expect("it opens");

    let error = open(&path).await.expect_err("it is open already");

    assert!(matches!(&error, OpenError::InUse { path: told } if *told == path), "{error:?}");
    let message = error.to_string();
    assert!(message.contains(&path.display().to_string()) && message.contains("another"), "{message}");
    App::deploy(&first, "orders").await.put("k", "1").await;
}

/// Whoever still holds the closed store, another may have the file.
#[tokio::test]
async fn a_closed_file_can_be_opened_again() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("tidegate.db");
    let first = open(&path).await.expect("it opens");
    App::deploy(&first, "orders").await.put("k", "1").await;
    first.close().await;

    let second = open(&path).await.expect("the first one has let go of it");

    assert_eq!(App::on(&second, "orders").keys().await, ["k"]);
    drop(first);
    open(&path).await.expect_err("the second one has it");
}

/// The log is folded back, so that the one file is all there is to copy.
#[tokio::test]
async fn a_closed_file_is_the_whole_database() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("tidegate.db");
    let store = open(&path).await.expect("it opens");
    App::deploy(&store, "orders").await.put("k", "1").await;
    store.close().await;

    let copy = directory.path().join("copy.db");
    std::fs::copy(&path, &copy).expect("it is copied");

    let copy = open(&copy).await.expect("the copy opens");
    assert_eq!(App::on(&copy, "orders").keys().await, ["k"]);
}

#[tokio::test]
async fn a_restart_expires_leases_and_records_the_loss() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("tidegate.db");
    let store = open(&path).await.expect("it opens");
    let app = App::deploy(&store, "orders").await;
    app.emit(2).await;
    let (leased_at, before) = app.claim(1, Micros::from_secs(3_600)).await;
    assert_eq!(app.claim(5, Micros::from_secs(3_600)).await.1.len(), 1, "the other one");
    store.close().await;

    let store = open_soon(&path).await;
    let app = App::on(&store, "orders");
    assert!(app.deliveries().await.iter().all(|row| row.state == DeliveryState::Ready), "nobody has them");
    let (now, again) = app.claim(5, Micros::from_secs(3_600)).await;

    assert!(now > leased_at);
    assert_eq!(again.len(), 2);
    assert_eq!((again[0].id, again[0].attempt, again[0].lease), (before[0].id, 2, Lease(2)));
    let lost = Attempt {
        attempt: 1,
        started_at: leased_at,
        duration: None,
        error: ExecError::Lost,
        message: Attempt::LOST_MESSAGE.to_owned(),
    };
    assert_eq!(app.deliveries().await[0].failed, [lost]);
}

/// What a power cut would leave: the file and its log as they are when the last answer has come, and no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_in_the_file_at_once() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("tidegate.db");
    let store = open(&path).await.expect("it opens");
    let app = App::deploy(&store, "orders").await;
    for round in 0..5 {
        let keys: Vec<_> = (0..20).map(|n| format!("{round}-{n:02}")).collect();
        app.put_at_once(&keys).await;

        let crashed = directory.path().join(format!("crashed-{round}.db"));
        std::fs::copy(&path, &crashed).expect("the file is copied");
        std::fs::copy(path.with_extension("db-wal"), crashed.with_extension("db-wal")).expect("the log is copied");

        let crashed = open(&crashed).await.expect("it opens after a crash");
        let found = App::on(&crashed, "orders").keys().await;
        assert_eq!(found.len(), 20 * (round + 1));
        assert!(keys.iter().all(|key| found.contains(key)), "{keys:?} in {found:?}");
    }
}

/// A process that only lets go of the store still has the file until the last write is done: two writers are never at
/// work, and nothing that anybody was promised is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_without_a_close_it_loses_nothing() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("tidegate.db");
    for round in 0..5 {
        let store = open_soon(&path).await;
        let app = App::deploy(&store, "orders").await;
        let keys: Vec<_> = (0..50).map(|n| format!("{round}-{n:02}")).collect();
        app.put_at_once(&keys).await;
        drop((app, store));
    }
    let store = open_soon(&path).await;
    assert_eq!(App::on(&store, "orders").keys().await.len(), 250);
}

#[tokio::test]
async fn after_close_the_store_refuses() {
    let directory = TempDir::new().expect("a directory");
    let store = open(&directory.path().join("tidegate.db")).await.expect("it opens");
    let app = App::deploy(&store, "orders").await;
    store.close().await;

    let error = app.try_put("k", "1").await.expect_err("the store is closed");

    assert!(error.to_string().contains("closed"), "{error}");
    assert!(store.ping().await.is_err());
    store.close().await; // Again is no harm.
}

/// What is queued when the store is dropped is still done, by the one who has the file.
#[tokio::test]
async fn the_file_is_let_go_of_after_the_last_write() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("tidegate.db");
    for round in 0..5 {
        let store = open_soon(&path).await;
        let app = App::deploy(&store, "orders").await;
        let key = round.to_string();
        let held = hold(&path);
        // Polled once it is in the queue; nothing can be written yet.
        assert_eq!(Box::pin(app.try_put(&key, "1")).now_or_never(), None);
        drop((app, store, held));

        let store = open_soon(&path).await;
        assert!(App::on(&store, "orders").keys().await.contains(&key), "round {round}");
        store.close().await;
    }
}
