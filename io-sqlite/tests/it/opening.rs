//! Opening and closing: one process at a time, no acknowledged write is lost, and a restart waits
//! for no lease.

use crate::app::{App, lock_for_writing};
use futures_util::FutureExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tidegate_core::{Attempt, ExecError, Fate, Micros, Request, StoreErrorKind};
use tidegate_io_sqlite::{OpenError, SqliteOptions, SqliteStore};
use tidegate_ports::{DeliveryState, DispatchStore};

async fn open(path: &Path) -> Result<Arc<SqliteStore>, OpenError> {
    SqliteStore::open(path, SqliteOptions::default()).await.map(Arc::new)
}

/// Opens the file as soon as the previous store has released it, within 20 s.
async fn open_when_free(path: &Path) -> Arc<SqliteStore> {
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
async fn the_directory_and_the_file_are_created() {
    let directory = TempDir::new().expect("a temporary directory is created");
    let path = directory.path().join("a/b/tidegate.db");
    let store = open(&path).await.expect("the file opens");
    store.ping().await.expect("the store answers");
    assert!(path.is_file());
}

/// The mode of a file, such as 0o600.
fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("the file exists").permissions().mode() & 0o777
}

#[tokio::test]
async fn only_the_owner_can_read_new_files() {
    let directory = TempDir::new().expect("a temporary directory is created");
    let folder = directory.path().join("data");
    let path = folder.join("tidegate.db");
    let store = open(&path).await.expect("the file opens");
    App::deploy(&store, "orders").await.put("k", "1").await;
    assert_eq!(mode(&folder), 0o700);
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let file = folder.join(format!("tidegate.db{suffix}"));
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn a_deleted_file_of_the_database_is_noticed() {
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let directory = TempDir::new().expect("a temporary directory is created");
        let path = directory.path().join("tidegate.db");
        let store = open(&path).await.expect("the file opens");
        let app = App::deploy(&store, "orders").await;
        app.put("k", "1").await;
        store.ping().await.expect("the store answers");
        std::fs::remove_file(directory.path().join(format!("tidegate.db{suffix}"))).expect("the file is deleted");
        tokio::time::sleep(Duration::from_millis(200)).await;
        for error in [store.ping().await, store.call(Request::Discover).await.map(drop)] {
            let error = error.expect_err("the file is gone");
            assert_eq!((error.kind, error.fate), (StoreErrorKind::Replaced, Fate::NotApplied), "{suffix}: {error}");
            assert!(error.message.contains(&format!("tidegate.db{suffix} was deleted")), "{error}");
        }
    }
}

#[tokio::test]
async fn a_second_open_fails_with_in_use() {
    let directory = TempDir::new().expect("a temporary directory is created");
    let path = directory.path().join("tidegate.db");
    let first = open(&path).await.expect("the file opens");

    let error = open(&path).await.expect_err("the file is already open");

    assert!(matches!(&error, OpenError::InUse { path: in_use } if *in_use == path), "{error:?}");
    let message = error.to_string();
    assert!(message.contains(&path.display().to_string()) && message.contains("another"), "{message}");
    App::deploy(&first, "orders").await.put("k", "1").await;
}

/// A closed store releases the file, even before the store is dropped.
#[tokio::test]
async fn a_closed_file_can_be_opened_again() {
    let directory = TempDir::new().expect("a temporary directory is created");
    let path = directory.path().join("tidegate.db");
    let first = open(&path).await.expect("the file opens");
    App::deploy(&first, "orders").await.put("k", "1").await;
    first.close().await;

    let second = open(&path).await.expect("the first store has released the file");

    assert_eq!(App::on(&second, "orders").keys().await, ["k"]);
    drop(first);
    open(&path).await.expect_err("the second store has the file");
}

/// A close moves the log into the file, so that a copy of the one file is complete.
#[tokio::test]
async fn a_closed_file_is_the_whole_database() {
    let directory = TempDir::new().expect("a temporary directory is created");
    let path = directory.path().join("tidegate.db");
    let store = open(&path).await.expect("the file opens");
    App::deploy(&store, "orders").await.put("k", "1").await;
    store.close().await;

    let copy = directory.path().join("copy.db");
    std::fs::copy(&path, &copy).expect("the file is copied");

    let copy = open(&copy).await.expect("the copy opens");
    assert_eq!(App::on(&copy, "orders").keys().await, ["k"]);
}

#[tokio::test]
async fn a_restart_expires_leases_and_records_lost_attempts() {
    let directory = TempDir::new().expect("a temporary directory is created");
    let path = directory.path().join("tidegate.db");
    let store = open(&path).await.expect("the file opens");
    let app = App::deploy(&store, "orders").await;
    app.emit(2).await;
    let (leased_at, before) = app.claim(1, Micros::from_secs(3_600)).await;
    assert_eq!(app.claim(5, Micros::from_secs(3_600)).await.1.len(), 1, "the other row is claimed");
    store.close().await;

    let store = open_when_free(&path).await;
    let app = App::on(&store, "orders");
    assert!(app.deliveries().await.iter().all(|row| row.state == DeliveryState::Ready), "no row is leased");
    let (now, again) = app.claim_suspect(Micros::from_secs(3_600)).await;

    assert!(now > leased_at);
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].id, again[0].attempt, again[0].lost), (before[0].id, 1, 1));
    assert!(again[0].lease > before[0].lease, "the number of the claim is new");
    let lost = Attempt {
        attempt: 1,
        started_at: leased_at,
        duration: None,
        error: ExecError::Lost,
        message: Attempt::LOST_MESSAGE.to_owned(),
    };
    assert_eq!(app.deliveries().await[0].failed, [lost]);
}

/// Simulates a power cut: copies the file and its log directly after the last answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledged_write_is_in_the_file_at_once() {
    let directory = TempDir::new().expect("a temporary directory is created");
    let path = directory.path().join("tidegate.db");
    let store = open(&path).await.expect("the file opens");
    let app = App::deploy(&store, "orders").await;
    for round in 0..5 {
        let keys: Vec<_> = (0..20).map(|n| format!("{round}-{n:02}")).collect();
        app.put_all(&keys).await;

        let crashed = directory.path().join(format!("crashed-{round}.db"));
        std::fs::copy(&path, &crashed).expect("the file is copied");
        std::fs::copy(path.with_extension("db-wal"), crashed.with_extension("db-wal")).expect("the log is copied");

        let crashed = open(&crashed).await.expect("the file opens after a crash");
        let found = App::on(&crashed, "orders").keys().await;
        assert_eq!(found.len(), 20 * (round + 1));
        assert!(keys.iter().all(|key| found.contains(key)), "{keys:?} in {found:?}");
    }
}

/// A store that is dropped without a close keeps the lock of the file until its last write is
/// committed. Two writers never use the file at once, and no acknowledged write is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_dropped_without_a_close_loses_nothing() {
    let directory = TempDir::new().expect("a temporary directory is created");
    let path = directory.path().join("tidegate.db");
    for round in 0..5 {
        let store = open_when_free(&path).await;
        let app = App::deploy(&store, "orders").await;
        let keys: Vec<_> = (0..50).map(|n| format!("{round}-{n:02}")).collect();
        app.put_all(&keys).await;
        drop((app, store));
    }
    let store = open_when_free(&path).await;
    assert_eq!(App::on(&store, "orders").keys().await.len(), 250);
}

#[tokio::test]
async fn a_closed_store_refuses_calls() {
    let directory = TempDir::new().expect("a temporary directory is created");
    let store = open(&directory.path().join("tidegate.db")).await.expect("the file opens");
    let app = App::deploy(&store, "orders").await;
    store.close().await;

    let error = app.try_put("k", "1").await.expect_err("the store is closed");

    assert!(error.to_string().contains("closed"), "{error}");
    assert!(store.ping().await.is_err());
    store.close().await; // A second close does nothing.
}

/// The writer of a dropped store commits its queued jobs before it releases the file.
#[tokio::test]
async fn a_dropped_store_releases_the_file_after_its_last_write() {
    let directory = TempDir::new().expect("a temporary directory is created");
    let path = directory.path().join("tidegate.db");
    for round in 0..5 {
        let store = open_when_free(&path).await;
        let app = App::deploy(&store, "orders").await;
        let key = round.to_string();
        let held = lock_for_writing(&path);
        // The first poll puts the job into the queue. The lock keeps the writer from running it.
        assert_eq!(Box::pin(app.try_put(&key, "1")).now_or_never(), None);
        drop((app, store, held));

        let store = open_when_free(&path).await;
        assert!(App::on(&store, "orders").keys().await.contains(&key), "round {round}");
        store.close().await;
    }
}
