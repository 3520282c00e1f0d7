//! The one writer: a thread that owns the only connection which writes, and groups what waits into one transaction.
//!
//! SQLite has one writer anyway, and a durable commit costs a sync of the file whatever is in it; so many callers
//! share one. Each job of a group has its own savepoint: one that fails is undone alone. Answers go out after the
//! commit, so what was answered is durable. A caller that is gone does not stop its job.
//!
//! A job crosses to the thread whole and back once. A statement is a plain call there: it costs microseconds, which a
//! crossing for each of them would make many times as much.

use crate::clock::Clock;
use crate::error::{closed, refused};
use crate::sql;
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

/// The most jobs in one transaction: bounds how long the first one waits for the last.
const GROUP_MAX: usize = 256;
/// The most jobs that wait; beyond it callers wait to be let in.
const WAITING_MAX: usize = 1_024;

/// What a job works with.
pub(crate) struct Tx<'c> {
    pub(crate) connection: &'c Connection,
    /// The store's clock, the same for the whole transaction.
    pub(crate) now: Timestamp,
}

/// Undone or not, and how to answer once the commit's fate is known.
struct Finished {
    keep: bool,
    answer: Box<dyn FnOnce(Result<(), StoreError>) + Send>,
}

/// Without a transaction it only finishes, to be told why there is none.
type Job = Box<dyn FnOnce(Option<&Tx<'_>>) -> Finished + Send>;

/// How the writer has worked so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Transactions that were committed.
    pub commits: u64,
    /// Jobs in them.
    pub jobs: u64,
}

#[derive(Debug, Default)]
struct Counters {
    commits: AtomicU64,
    jobs: AtomicU64,
}

/// What the writer is told.
enum Message {
    Do(Job),
    /// End after what was told before; dropped when that is done.
    Close(oneshot::Sender<()>),
}

pub(crate) struct Writer {
    messages: mpsc::Sender<Message>,
    clock: Arc<Clock>,
    counters: Arc<Counters>,
}

impl Writer {
    /// The writer holds `lock` for as long as it has the connection: a store that was dropped may still have work.
    pub(crate) fn start(connection: Connection, clock: Arc<Clock>, lock: File) -> io::Result<Self> {
        let (messages, waiting) = mpsc::channel(WAITING_MAX);
        let counters = Arc::default();
        let (clock_of_it, counters_of_it) = (Arc::clone(&clock), Arc::clone(&counters));
        std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || run(connection, lock, &clock_of_it, waiting, &counters_of_it))?;
        Ok(Self { messages, clock, counters })
    }

    /// Waits until what was asked for is committed and the connection is closed.
    pub(crate) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.messages.send(Message::Close(done)).await.is_ok() {
            closed.await.ok();
        }
    }

    /// The store's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            commits: self.counters.commits.load(Ordering::Relaxed),
            jobs: self.counters.jobs.load(Ordering::Relaxed),
        }
    }

    /// Does `work` in the next transaction and answers when that is committed.
    pub(crate) async fn write<T, W>(&self, work: W) -> Result<T, PortError>
    where
        T: Send + 'static,
        W: FnOnce(&Tx<'_>) -> Result<T, PortError> + Send + 'static,
    {
        self.write_and_then(work, |_| ()).await
    }

    /// The same, and `committed` is called before the answer, whether or not the caller still waits for it.
    pub(crate) async fn write_and_then<T, W, C>(&self, work: W, committed: C) -> Result<T, PortError>
    where
        T: Send + 'static,
        W: FnOnce(&Tx<'_>) -> Result<T, PortError> + Send + 'static,
        C: FnOnce(&mut T) + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |tx| {
            // A panic is a bug of one job; the writer must live on for the others.
            let result = tx.map(|tx| catch_unwind(AssertUnwindSafe(|| work(tx))).unwrap_or_else(|_| Err(panicked())));
            let keep = matches!(result, Some(Ok(_)));
            let answer = Box::new(move |commit: Result<(), StoreError>| {
                let mut told = tell(result, commit);
                // Before the answer also if it is not called: what it holds is free again by then.
                match &mut told {
                    Ok(done) => committed(done),
                    Err(_) => drop(committed),
                }
                // Nobody may be waiting any more; the work is done all the same.
                answer.send(told).ok();
            });
            Finished { keep, answer }
        });
        self.messages.send(Message::Do(job)).await.map_err(|_| closed())?;
        answered.await.unwrap_or_else(|_| Err(PortError::Store(StoreError::unknown("the store was closed meanwhile"))))
    }
}

/// What a job's caller is told, once the fate of its group is known. Without a result the job was not begun.
fn tell<T>(result: Option<Result<T, PortError>>, commit: Result<(), StoreError>) -> Result<T, PortError> {
    match (result, commit) {
        (Some(result), Ok(())) => result,
        (None, Ok(())) => Err(closed()),
        (None | Some(Ok(_)), Err(error)) => Err(PortError::Store(error)),
        // What failed in the store was undone, whatever became of the group.
        (Some(Err(PortError::Store(own))), Err(_)) => Err(PortError::Store(own)),
        // A precondition was held against what others of the group had written, and that never came to be.
        (Some(Err(_)), Err(error)) => Err(PortError::Store(StoreError { fate: Fate::NotApplied, ..error })),
    }
}

fn panicked() -> PortError {
    tracing::error!("a call of the store panicked; what it wrote is undone");
    PortError::Store(StoreError::not_applied(StoreErrorKind::Refused, "a bug: the call panicked"))
}

fn run(connection: Connection, lock: File, clock: &Clock, mut waiting: mpsc::Receiver<Message>, counters: &Counters) {
    let mut messages = Vec::with_capacity(GROUP_MAX);
    let mut closing = Vec::new();
    while closing.is_empty() && waiting.blocking_recv_many(&mut messages, GROUP_MAX) > 0 {
        let mut group = VecDeque::with_capacity(messages.len());
        for message in messages.drain(..) {
            match message {
                Message::Do(job) => group.push_back(job),
                Message::Close(done) => closing.push(done),
            }
        }
        // Once, unless a transaction is lost on the way: then what was not begun goes into the next one.
        while !group.is_empty() {
            transact(&connection, clock.now(), &mut group, counters);
        }
    }
    // Folds the log back into the file; without it the next opener would.
    connection.query_row(sql::checkpoint, (), |_| Ok(())).ok();
    connection.close().ok();
    // The system frees it also when the process dies.
    drop(lock);
    // Whoever waits for the end is told by this.
    drop(closing);
}

/// Does the jobs of the group in one transaction, and answers them.
///
/// SQLite may throw the whole transaction away when one job fails, as when the disk is full. Nothing may be done on the
/// connection then but to begin again: outside a transaction the next savepoint would be one, and would commit by itself.
/// So the jobs that were not begun stay in the group.
fn transact(connection: &Connection, now: Timestamp, group: &mut VecDeque<Job>, counters: &Counters) {
    if let Err(error) = execute(connection, sql::begin) {
        // A transaction may be left open by a failure before; the next group then finds it closed.
        execute(connection, "rollback").ok();
        for job in group.drain(..) {
            (job(None).answer)(Err(refused(&error)));
        }
        return;
    }
    let tx = Tx { connection, now };
    let alone = group.len() == 1;
    let mut finished = Vec::with_capacity(group.len());
    let mut lost = None;
    while lost.is_none()
        && let Some(job) = group.pop_front()
    {
        let done = if alone {
            job(Some(&tx))
        } else {
            match in_savepoint(&tx, job) {
                Ok(done) => done,
                Err((done, error)) => {
                    lost = Some(refused(&error));
                    done
                }
            }
        };
        finished.push(done);
    }
    let keep = lost.is_none() && finished.iter().any(|done| done.keep);
    let commit = if keep {
        commit(connection)
    } else {
        // It fails if SQLite has rolled back by itself.
        execute(connection, "rollback").ok();
        lost.map_or(Ok(()), Err)
    };
    if keep && commit.is_ok() {
        // Before the answers: who is told finds itself counted.
        counters.commits.fetch_add(1, Ordering::Relaxed);
        counters.jobs.fetch_add(finished.len() as u64, Ordering::Relaxed);
    }
    for done in finished {
        (done.answer)(commit.clone());
    }
}

/// One job of several: what it did is undone alone if it fails.
fn in_savepoint(tx: &Tx<'_>, job: Job) -> Result<Finished, (Finished, rusqlite::Error)> {
    if let Err(error) = execute(tx.connection, "savepoint job") {
        return Err((job(None), error));
    }
    let done = job(Some(tx));
    let undone = if done.keep { Ok(()) } else { execute(tx.connection, "rollback to job") };
    match undone.and_then(|()| execute(tx.connection, "release job")) {
        Ok(()) => Ok(done),
        Err(error) => Err((done, error)),
    }
}

fn commit(connection: &Connection) -> Result<(), StoreError> {
    execute(connection, "commit").map_err(|error| {
        execute(connection, "rollback").ok();
        StoreError::unknown(format!("SQLite could not commit: {error}"))
    })
}

fn execute(connection: &Connection, statement: &'static str) -> rusqlite::Result<()> {
    connection.prepare_cached(statement)?.execute(()).map(drop)
}

#[cfg(test)]
mod tests;
