//! The writer: one thread that owns the only connection with write access and groups queued jobs
//! into transactions.
//!
//! SQLite allows one writer at a time, and a durable commit costs one sync of the file for any
//! number of writes. The callers that wait at the same time therefore share a commit. Each job of a
//! group has a savepoint, so that only the writes of a failed job are undone. Answers are sent
//! after the commit, so answered writes are durable. A job runs to its end even if its caller is
//! dropped.
//!
//! A whole job moves to the thread and its answer moves back, which costs two channel operations
//! per job. A statement is a plain call on the thread and costs microseconds; a channel operation
//! per statement would cost many times as much.

mod connection;

pub(crate) use connection::WriterConnection;

use crate::clock::Clock;
use crate::error::{closed, refused, uncommitted};
use crate::kept_clock::KeptClock;
use crate::query::execute;
use crate::savepoint::{Part, Savepoint};
use crate::sql;
use crate::write_health::WriteHealth;
use rusqlite::Connection;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tidegate_core::{Fate, StoreError, StoreErrorKind, Timestamp};
use tidegate_ports::PortError;
use tokio::sync::{mpsc, oneshot};

/// The most jobs in one transaction. It limits how long the first job of a group waits for the last
/// one.
const GROUP_MAX: usize = 256;
/// The most jobs in the queue. When the queue is full, callers wait for a place in it.
const QUEUE_MAX: usize = 1_024;

/// The transaction in which a job runs.
pub(crate) struct Tx<'c> {
    pub(crate) connection: &'c Connection,
    pub(crate) clock: &'c Clock,
    /// The time of the job. No other job has the same time.
    pub(crate) now: Timestamp,
}

/// A job that has run, and the function that answers its caller.
struct FinishedJob {
    /// Whether the writes of the job are kept.
    keep: bool,
    /// The failure of the store that made the job fail, if a later job may succeed.
    failure: Option<StoreError>,
    /// Called once, with the result of the commit.
    answer: Box<dyn FnOnce(Result<(), StoreError>) + Send>,
}

/// Runs in the transaction. With `None` there is no transaction. The job then does nothing, and its
/// `answer` gets the reason.
type Job = Box<dyn FnOnce(Option<&Tx<'_>>) -> FinishedJob + Send>;

/// Counts of the writer since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The number of committed transactions.
    pub commits: u64,
    /// The number of jobs in these transactions.
    pub jobs: u64,
}

#[derive(Debug, Default)]
struct Counters {
    commits: AtomicU64,
    jobs: AtomicU64,
}

enum Message {
    Run(Job),
    /// Ends the thread after all messages before this one. The sender is dropped when the
    /// connection is closed.
    Close(oneshot::Sender<()>),
}

pub(crate) struct Writer {
    messages: mpsc::Sender<Message>,
    shared: Arc<Shared>,
}

/// The part of the writer that its thread and its callers share.
struct Shared {
    clock: Arc<Clock>,
    counters: Counters,
    health: WriteHealth,
}

impl Writer {
    /// Starts the thread. The thread holds `lock` as long as it holds the connection, because the
    /// queue of a dropped store may still contain jobs.
    pub(crate) fn start(connection: WriterConnection, clock: Arc<Clock>, lock: File) -> io::Result<Self> {
        let (messages, queue) = mpsc::channel(QUEUE_MAX);
        let shared = Arc::new(Shared { clock, counters: Counters::default(), health: WriteHealth::default() });
        let of_thread = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || run(connection, lock, &of_thread, queue))?;
        Ok(Self { messages, shared })
    }

    pub(crate) fn health(&self) -> &WriteHealth {
        &self.shared.health
    }

    /// Waits until all queued jobs are committed and the connection is closed.
    pub(crate) async fn close(&self) {
        let (sender, closed) = oneshot::channel();
        if self.messages.send(Message::Close(sender)).await.is_ok() {
            closed.await.ok();
        }
    }

    /// The current time of the store's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            commits: self.shared.counters.commits.load(Ordering::Relaxed),
            jobs: self.shared.counters.jobs.load(Ordering::Relaxed),
        }
    }

    /// Runs `work` in the next transaction and returns its result after the commit.
    pub(crate) async fn write<T, W>(&self, work: W) -> Result<T, PortError>
    where
        T: Send + 'static,
        W: FnOnce(&Tx<'_>) -> Result<T, PortError> + Send + 'static,
    {
        self.write_and_then(work, |_| ()).await
    }

    /// Like [`Writer::write`], and calls `after_commit` after the commit and before the answer. It
    /// is called even if the caller of this method was dropped. If the work fails, `after_commit`
    /// is dropped before the answer.
    pub(crate) async fn write_and_then<T, W, C>(&self, work: W, after_commit: C) -> Result<T, PortError>
    where
        T: Send + 'static,
        W: FnOnce(&Tx<'_>) -> Result<T, PortError> + Send + 'static,
        C: FnOnce(&mut T) + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |tx| {
            // A panic is a bug in one job. The thread must go on with the other jobs.
            let result = tx.map(|tx| catch_unwind(AssertUnwindSafe(|| work(tx))).unwrap_or_else(|_| Err(panicked())));
            let keep = matches!(result, Some(Ok(_)));
            let failure = match &result {
                Some(Err(PortError::Store(error))) if error.kind == StoreErrorKind::Unavailable => Some(error.clone()),
                _ => None,
            };
            let answer = Box::new(move |commit: Result<(), StoreError>| {
                let mut answer = answer_of(result, commit);
                match &mut answer {
                    Ok(value) => after_commit(value),
                    // `after_commit` is dropped before the answer, so that its resources are free
                    // when the caller gets the answer.
                    Err(_) => drop(after_commit),
                }
                // Sending fails if the caller was dropped. The work is committed in that case too.
                sender.send(answer).ok();
            });
            FinishedJob { keep, failure, answer }
        });
        self.messages.send(Message::Run(job)).await.map_err(|_| closed())?;
        receiver.await.unwrap_or_else(|_| {
            Err(PortError::Store(StoreError::unknown(
                "the store was closed during the call; the call may have been applied",
            )))
        })
    }
}

/// The answer for the caller of a job, from the result of the job and the result of the commit. The
/// result of the job is `None` if there was no transaction for it.
fn answer_of<T>(result: Option<Result<T, PortError>>, commit: Result<(), StoreError>) -> Result<T, PortError> {
    match (result, commit) {
        (Some(result), Ok(())) => result,
        (None, Ok(())) => Err(closed()),
        (None | Some(Ok(_)), Err(error)) => Err(PortError::Store(error)),
        // The job failed in the store and was undone. The commit of its group does not change its
        // answer.
        (Some(Err(PortError::Store(own))), Err(_)) => Err(PortError::Store(own)),
        // The job failed a precondition. The precondition may have depended on writes of its group,
        // which are undone.
        (Some(Err(_)), Err(error)) => Err(PortError::Store(StoreError { fate: Fate::NotApplied, ..error })),
    }
}

fn panicked() -> PortError {
    tracing::error!("a call of the store panicked; its writes are undone");
    PortError::Store(StoreError::not_applied(
        StoreErrorKind::Unstorable,
        "a call of the store panicked, which is a bug; nothing was changed",
    ))
}

fn run(mut connection: WriterConnection, lock: File, shared: &Shared, mut queue: mpsc::Receiver<Message>) {
    let mut messages = Vec::with_capacity(GROUP_MAX);
    let mut kept = KeptClock::default();
    let mut closing = Vec::new();
    while closing.is_empty() && queue.blocking_recv_many(&mut messages, GROUP_MAX) > 0 {
        let mut group = VecDeque::with_capacity(messages.len());
        for message in messages.drain(..) {
            match message {
                Message::Run(job) => group.push_back(job),
                Message::Close(sender) => closing.push(sender),
            }
        }
        // There is one pass, unless SQLite discards the transaction. Then the jobs that had not
        // begun get another transaction.
        while !group.is_empty() {
            run_group(&mut connection, &mut kept, &mut group, shared);
        }
    }
    let connection = connection.into_inner();
    kept.write(&connection, shared.clock.now()).ok();
    // Moves the log into the file. If this fails, the next process that opens the file does it.
    connection.query_row(sql::checkpoint, (), |_| Ok(())).ok();
    connection.close().ok();
    // The operating system also frees the lock when the process dies.
    drop(lock);
    // Dropping the senders ends the wait in `Writer::close`.
    drop(closing);
}

/// Runs the jobs of `group` in one transaction, and answers them.
fn run_group(writer: &mut WriterConnection, kept: &mut KeptClock, group: &mut VecDeque<Job>, shared: &Shared) {
    let (finished, commit) = match writer.ready().and_then(begin) {
        Ok(connection) => run_jobs(connection, kept, group, &shared.clock),
        Err(reason) => (group.drain(..).map(|job| job(None)).collect(), Err(reason)),
    };
    if commit.is_ok() && finished.iter().any(|job| job.keep) {
        // The job is counted before its answer is sent, so that a caller with an answer finds its
        // job in the counts.
        shared.counters.commits.fetch_add(1, Ordering::Relaxed);
        shared.counters.jobs.fetch_add(finished.len() as u64, Ordering::Relaxed);
        shared.health.succeeded();
    }
    let failure = commit.as_ref().err().or_else(|| finished.iter().find_map(|job| job.failure.as_ref()));
    if let Some(failure) = failure.filter(|failure| failure.kind == StoreErrorKind::Unavailable) {
        shared.health.failed(failure);
        writer.reopen_later();
    }
    for job in finished {
        (job.answer)(commit.clone());
    }
}

fn begin(connection: &Connection) -> Result<&Connection, StoreError> {
    execute(connection, sql::begin).map(|()| connection).map_err(|error| {
        // An earlier failure may have left a transaction open. Roll back, so that the next group
        // can begin.
        execute(connection, "rollback").ok();
        refused(&error)
    })
}

/// Runs the jobs of `group`, and commits those that succeed.
///
/// SQLite may discard the whole transaction when one job fails, for example when the disk is full.
/// No other job may run then: outside a transaction the next savepoint would start a transaction,
/// and its release would commit it. The jobs that had not begun therefore stay in `group`.
fn run_jobs(
    connection: &Connection,
    kept: &mut KeptClock,
    group: &mut VecDeque<Job>,
    clock: &Clock,
) -> (Vec<FinishedJob>, Result<(), StoreError>) {
    let alone = group.len() == 1;
    let mut finished = Vec::with_capacity(group.len());
    let mut lost = None;
    while lost.is_none()
        && let Some(job) = group.pop_front()
    {
        let tx = Tx { connection, clock, now: clock.tick() };
        let (job, error) = if alone { (job(Some(&tx)), None) } else { run_in_savepoint(&tx, job) };
        lost = error.map(|error| refused(&error));
        finished.push(job);
    }
    let keep = lost.is_none() && finished.iter().any(|job| job.keep);
    let commit = if keep {
        kept.write_if_old(connection, clock.now()).and_then(|()| commit(connection))
    } else {
        // The rollback fails if SQLite has already rolled back.
        execute(connection, "rollback").ok();
        lost.map_or(Ok(()), Err)
    };
    (finished, commit)
}

/// Runs one job of several, and undoes its writes if it fails. An error means that the transaction
/// is lost.
fn run_in_savepoint(tx: &Tx<'_>, job: Job) -> (FinishedJob, Option<rusqlite::Error>) {
    match Savepoint::begin(tx.connection, Part::Job) {
        Ok(savepoint) => {
            let finished = job(Some(tx));
            let error = savepoint.end(finished.keep).err();
            (finished, error)
        }
        Err(error) => (job(None), Some(error)),
    }
}

fn commit(connection: &Connection) -> Result<(), StoreError> {
    execute(connection, "commit").map_err(|error| {
        execute(connection, "rollback").ok();
        uncommitted(&error)
    })
}

#[cfg(test)]
mod tests;
