use super::*;
use crate::error::OrRefused;
use crate::query::Query;
use crate::{SqliteOptions, SqliteStore};
use futures_util::future::join_all;
use tempfile::TempDir;

async fn fresh() -> (TempDir, SqliteStore) {
    let directory = TempDir::new().unwrap();
    let store = SqliteStore::open(directory.path().join("t.db"), SqliteOptions::default()).await.unwrap();
    (directory, store)
}

/// What a job of these tests does after it has written its row.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    Succeed,
    Fail,
    /// SQLite throws the whole transaction away, as it may when the disk is full, and the job fails of it.
    LoseTransaction,
    Panic,
}

/// Writes the app `name`, and then does as it is told.
async fn job(store: &SqliteStore, name: &'static str, then: Then) -> Result<(), PortError> {
    store.writer.write(move |tx| write_then(tx, name, then)).await
}

fn write_then(tx: &Tx<'_>, name: &'static str, then: Then) -> Result<(), PortError> {
    tx.connection.run("insert into apps (name, created_at) values (?1, 1)", [name])?;
    match then {
        Then::Succeed => return Ok(()),
        Then::LoseTransaction => execute(tx.connection, "rollback").or_refused()?,
        Then::Panic => panic!("a bug, on purpose"),
        Then::Fail => {}
    }
    Err(PortError::UnknownApp)
}

/// A job of one statement.
async fn run(store: &SqliteStore, statement: &'static str) -> Result<(), PortError> {
    store.writer.write(move |tx| tx.connection.execute_batch(statement).or_refused()).await
}

async fn names(store: &SqliteStore) -> Vec<String> {
    let read = |connection: &Connection| connection.all("select name from apps order by name", (), |row| row.get(0));
    store.readers.read(read).await.unwrap()
}

/// All at once: the writer is kept busy until they are queued, so they are one group.
async fn group(store: &SqliteStore, jobs: &[(&'static str, Then)]) -> Vec<Result<(), PortError>> {
    let (queued, all_queued) = std::sync::mpsc::channel::<()>();
    let busy = store.writer.write(move |_| {
        all_queued.recv().ok(); // It fails as soon as the other end is gone.
        Ok(())
    });
    // In this order: first what keeps it busy, and the end of that when all others are in the queue.
    let (_, told, ()) = tokio::join!(
        biased;
        busy,
        join_all(jobs.iter().map(|(name, then)| job(store, name, *then))),
        async { drop(queued) }
    );
    told
}

/// Whoever is told of success is in the file, whoever is told that nothing was applied is not.
async fn check_told_truly(jobs: &[(&'static str, Then)]) -> Vec<bool> {
    let (_directory, store) = fresh().await;
    let told = group(&store, jobs).await;
    let there = names(&store).await;
    for ((name, then), told) in jobs.iter().zip(&told) {
        let is_there = there.iter().any(|one| one == name);
        assert_eq!(told.is_ok(), is_there, "{name} ({then:?}) was told {told:?}; in the file: {there:?}");
    }
    // The writer lives on.
    job(&store, "after", Then::Succeed).await.unwrap();
    told.iter().map(Result::is_ok).collect()
}

#[tokio::test]
async fn a_job_that_fails_is_undone_alone() {
    let jobs = [("a", Then::Succeed), ("b", Then::Fail), ("c", Then::Succeed), ("d", Then::Fail)];
    assert_eq!(check_told_truly(&jobs).await, [true, false, true, false]);
}

#[tokio::test]
async fn who_shares_a_lost_transaction_is_told_truly() {
    for at in 0..4 {
        let mut jobs = [("a", Then::Succeed), ("b", Then::Succeed), ("c", Then::Succeed), ("d", Then::Succeed)];
        jobs[at].1 = Then::LoseTransaction;
        let told = check_told_truly(&jobs).await;
        assert!(!told[at]);
    }
}

#[tokio::test]
async fn a_job_that_panics_is_undone_alone() {
    for jobs in [&[("a", Then::Panic)][..], &[("a", Then::Succeed), ("b", Then::Panic), ("c", Then::Succeed)]] {
        let told = check_told_truly(jobs).await;
        assert_eq!(told, jobs.iter().map(|(_, then)| *then == Then::Succeed).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_got_over() {
    let (_directory, store) = fresh().await;
    run(&store, "pragma max_page_count = 1").await.unwrap(); // SQLite makes it the size that the file has.
    let fill = || run(&store, "insert into apps (name, created_at) values (hex(randomblob(20000)), 1)");
    let told = join_all((0..5).map(|_| fill())).await;
    for told in told {
        let Err(PortError::Store(error)) = told else { panic!("the disk is full: {told:?}") };
        assert_eq!(error.fate, tidegate_core::Fate::NotApplied);
    }
    assert_eq!(names(&store).await, Vec::<String>::new());
    run(&store, "pragma max_page_count = 1000000").await.unwrap();
    fill().await.unwrap();
    assert_eq!(names(&store).await.len(), 1);
}

/// Somebody else writes to the file for longer than the writer waits.
#[tokio::test]
async fn a_locked_file_is_told_and_got_over() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("t.db");
    let options = SqliteOptions { busy_timeout: std::time::Duration::from_millis(20), ..SqliteOptions::default() };
    let store = SqliteStore::open(&path, options).await.unwrap();
    let other = Connection::open(&path).unwrap();
    execute(&other, "begin immediate").unwrap();

    for told in group(&store, &[("a", Then::Succeed), ("b", Then::Fail)]).await {
        let Err(PortError::Store(error)) = told else { panic!("the file is locked: {told:?}") };
        assert_eq!(error.fate, tidegate_core::Fate::NotApplied);
        assert!(error.message.contains("locked"), "{error}");
    }

    execute(&other, "rollback").unwrap();
    job(&store, "c", Then::Succeed).await.unwrap();
    assert_eq!(names(&store).await, ["c"]);
}
