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

/// The end of a test job, after it has written its row.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Succeed,
    Fail,
    /// SQLite discards the whole transaction, as when the disk is full, and the job fails.
    LoseTransaction,
    Panic,
    /// As when an inline claim panics: its savepoint stays open.
    PanicInSavepoint,
}

/// A job that writes the app `name` and ends with `end`.
async fn job(store: &SqliteStore, name: &'static str, end: End) -> Result<(), PortError> {
    store.writer.write(move |tx| write_app(tx, name, end)).await
}

fn write_app(tx: &Tx<'_>, name: &'static str, end: End) -> Result<(), PortError> {
    tx.connection.run("insert into apps (name, created_at) values (?1, 1)", [name])?;
    match end {
        End::Succeed => return Ok(()),
        End::LoseTransaction => execute(tx.connection, "rollback").or_refused()?,
        End::Panic => panic!("the test job panics"),
        End::PanicInSavepoint => {
            let _open = Savepoint::begin(tx.connection, Part::InlineClaim).or_refused()?;
            panic!("the test job panics in a savepoint");
        }
        End::Fail => {}
    }
    Err(PortError::UnknownApp)
}

/// A job that runs one statement.
async fn run(store: &SqliteStore, statement: &'static str) -> Result<(), PortError> {
    store.writer.write(move |tx| tx.connection.execute_batch(statement).or_refused()).await
}

async fn names(store: &SqliteStore) -> Vec<String> {
    let read = |connection: &Connection| connection.all("select name from apps order by name", (), |row| row.get(0));
    store.readers.read(read).await.unwrap()
}

async fn group(store: &SqliteStore, jobs: &[(&'static str, End)]) -> Vec<Result<(), PortError>> {
    in_one_group(store, jobs.iter().map(|(name, end)| job(store, name, *end))).await
}

/// Runs the jobs as one group. A first job keeps the writer busy until all of them are in the
/// queue.
async fn in_one_group<J: Future<Output = Result<(), PortError>>>(
    store: &SqliteStore,
    jobs: impl IntoIterator<Item = J>,
) -> Vec<Result<(), PortError>> {
    let (queued, all_queued) = std::sync::mpsc::channel::<()>();
    let busy = store.writer.write(move |_| {
        all_queued.recv().ok(); // Returns when the sender is dropped.
        Ok(())
    });
    // Polled in this order: the busy job first, and its end after all other jobs are in the queue.
    let (_, answers, ()) = tokio::join!(
        biased;
        busy,
        join_all(jobs),
        async { drop(queued) }
    );
    answers
}

/// Checks that a job succeeds exactly if its app is in the file. Returns for each job whether it
/// succeeded.
async fn check_answers(jobs: &[(&'static str, End)]) -> Vec<bool> {
    let (_directory, store) = fresh().await;
    let answers = group(&store, jobs).await;
    let written = names(&store).await;
    for ((name, end), answer) in jobs.iter().zip(&answers) {
        let is_written = written.iter().any(|other| other == name);
        assert_eq!(answer.is_ok(), is_written, "{name} ({end:?}) was answered {answer:?}; the file has {written:?}");
    }
    // The writer still works.
    job(&store, "after", End::Succeed).await.unwrap();
    answers.iter().map(Result::is_ok).collect()
}

#[tokio::test]
async fn only_the_job_that_fails_is_undone() {
    let jobs = [("a", End::Succeed), ("b", End::Fail), ("c", End::Succeed), ("d", End::Fail)];
    assert_eq!(check_answers(&jobs).await, [true, false, true, false]);
}

#[tokio::test]
async fn jobs_of_a_lost_transaction_get_true_answers() {
    for at in 0..4 {
        let mut jobs = [("a", End::Succeed), ("b", End::Succeed), ("c", End::Succeed), ("d", End::Succeed)];
        jobs[at].1 = End::LoseTransaction;
        let succeeded = check_answers(&jobs).await;
        assert!(!succeeded[at]);
    }
}

#[tokio::test]
async fn only_the_job_that_panics_is_undone() {
    for jobs in [
        &[("a", End::Panic)][..],
        &[("a", End::Succeed), ("b", End::Panic), ("c", End::Succeed)],
        &[("a", End::Succeed), ("b", End::PanicInSavepoint), ("c", End::Succeed)],
    ] {
        let succeeded = check_answers(jobs).await;
        assert_eq!(succeeded, jobs.iter().map(|(_, end)| *end == End::Succeed).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_full_disk_is_an_error_until_it_has_space() {
    let (_directory, store) = fresh().await;
    // SQLite raises the limit to the current size of the file.
    run(&store, "pragma max_page_count = 1").await.unwrap();
    let fill = || run(&store, "insert into apps (name, created_at) values (hex(randomblob(20000)), 1)");
    // After a group that failed, the writer opens a new connection, which has no such limit.
    let answers = in_one_group(&store, (0..5).map(|_| fill())).await;
    for answer in answers {
        let Err(PortError::Store(error)) = answer else { panic!("the disk is full: {answer:?}") };
        assert_eq!(error.fate, tidegate_core::Fate::NotApplied);
    }
    assert_eq!(names(&store).await, Vec::<String>::new());
    run(&store, "pragma max_page_count = 1000000").await.unwrap();
    fill().await.unwrap();
    assert_eq!(names(&store).await.len(), 1);
}

/// Another process holds the write lock for longer than `busy_timeout`.
#[tokio::test]
async fn a_locked_file_is_an_error_until_it_is_unlocked() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("t.db");
    let options = SqliteOptions { busy_timeout: std::time::Duration::from_millis(20), ..SqliteOptions::default() };
    let store = SqliteStore::open(&path, options).await.unwrap();
    let other = Connection::open(&path).unwrap();
    execute(&other, "begin immediate").unwrap();

    for answer in group(&store, &[("a", End::Succeed), ("b", End::Fail)]).await {
        let Err(PortError::Store(error)) = answer else { panic!("the file is locked: {answer:?}") };
        assert_eq!(error.fate, tidegate_core::Fate::NotApplied);
        assert!(error.message.contains("locked"), "{error}");
    }

    execute(&other, "rollback").unwrap();
    job(&store, "c", End::Succeed).await.unwrap();
    assert_eq!(names(&store).await, ["c"]);
}
