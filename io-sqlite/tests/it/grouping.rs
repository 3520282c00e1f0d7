//! The writer groups queued calls: many calls share few commits.

use crate::app::{App, lock_for_writing};
use futures_util::future::{FutureExt, join_all};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tidegate_core::Version;
use tidegate_io_sqlite::{SqliteOptions, SqliteStore};
use tidegate_ports::{Guard, PortError};

async fn fresh() -> (TempDir, Arc<SqliteStore>, App) {
    let directory = TempDir::new().expect("a temporary directory is created");
    let store =
        SqliteStore::open(directory.path().join("t.db"), SqliteOptions::default()).await.expect("the file opens");
    let store = Arc::new(store);
    let app = App::deploy(&store, "orders").await;
    (directory, store, app)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_puts_share_their_commits() {
    const PUTS: u64 = 500;
    let (_directory, store, app) = fresh().await;
    let before = store.stats();
    let keys: Vec<_> = (0..PUTS).map(|n| n.to_string()).collect();

    app.put_all(&keys).await;

    let after = store.stats();
    let (jobs, commits) = (after.jobs - before.jobs, after.commits - before.commits);
    assert_eq!((jobs, app.keys().await.len() as u64), (PUTS, PUTS));
    assert!(commits >= 1 && commits * 10 <= PUTS, "{commits} commits for {PUTS} puts");
}

#[tokio::test]
async fn sequential_calls_have_one_commit_each() {
    let (_directory, store, app) = fresh().await;
    let before = store.stats();
    for n in 0..5 {
        app.put(&n.to_string(), "1").await;
    }
    assert_eq!(store.stats().commits - before.commits, 5);
}

#[tokio::test]
async fn a_failed_call_does_not_affect_its_group() {
    let (_directory, store, app) = fresh().await;
    let before = store.stats().commits;
    let put = |n: usize| {
        let (app, guard) = (&app, if n.is_multiple_of(3) { Guard::Version(Version(-1)) } else { Guard::Any });
        async move { app.try_put_if(&format!("{n:02}"), "1", guard).await }
    };

    let answers = join_all((0..30).map(put)).await;

    let commits = store.stats().commits - before;
    assert!(commits <= 3, "{commits} commits: the calls were not grouped");
    for (n, answer) in answers.iter().enumerate() {
        match n % 3 {
            0 => assert_eq!(*answer, Err(PortError::PreconditionFailed { current: None })),
            _ => assert!(answer.is_ok(), "{n}: {answer:?}"),
        }
    }
    let expected: Vec<_> = (0..30).filter(|n| n % 3 != 0).map(|n| format!("{n:02}")).collect();
    assert_eq!(app.keys().await, expected);
}

#[tokio::test]
async fn a_dropped_caller_does_not_stop_its_call() {
    let (directory, _store, app) = fresh().await;
    let held = lock_for_writing(&directory.path().join("t.db"));
    let mut put = Box::pin(app.try_put("k", "1"));
    // The first poll puts the job into the queue. The lock keeps the writer from running it.
    assert_eq!((&mut put).now_or_never(), None);
    drop((put, held));

    let found = async {
        while app.keys().await.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), found).await.expect("the value is put within 20 s");
}
