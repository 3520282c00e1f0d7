//! Connections, kept between calls.
//!
//! sqlx's own pool asks a connection whether it still works each time that it is given back: a second round trip for each
//! call. This one asks only where there is reason to doubt. A connection whose call came to its end is given back as it is;
//! one whose call failed or was abandoned is asked first. And once one connection was found broken, each that has been idle
//! since before is asked before it is used: a call over a dead connection would fail, and nobody could say whether it was
//! applied.

use crate::error;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Error};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// After so long in the pool a connection is asked whether it still works: a peer or a proxy may have dropped it without a
/// word.
const TRUSTED_MAX: Duration = Duration::from_secs(1);
/// After so long in the pool a connection is not needed: it was opened for a peak.
const IDLE_MAX: Duration = Duration::from_secs(600);
/// A backend's memory grows with what it has seen: it is replaced now and then.
const AGE_MAX: Duration = Duration::from_secs(1_800);
/// What an answer to a ping may take, when nobody waits for it.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// A server that refuses connections may be starting: it is asked again, until the caller's patience ends.
const RETRY_MIN: Duration = Duration::from_millis(10);
const RETRY_MAX: Duration = Duration::from_millis(500);

/// At most so many connections, and who waits for one waits in line.
#[derive(Clone, Debug)]
pub(crate) struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connect: PgConnectOptions,
    connections_max: u32,
    /// How long a caller waits for a connection.
    patience: Duration,
    permits: Arc<Semaphore>,
    /// The last one given back is the next to be used: few are kept busy, the others grow old and are closed.
    idle: Mutex<Vec<Idle>>,
    /// How many times a connection was found broken.
    breaks: AtomicU64,
}

#[derive(Debug)]
struct Kept {
    connection: PgConnection,
    opened: Instant,
}

#[derive(Debug)]
struct Idle {
    kept: Kept,
    since: Instant,
    /// [`Inner::breaks`] as it was given back.
    breaks: u64,
}

impl Pool {
    /// A pool that connects when it is first used.
    pub(crate) fn new(connect: PgConnectOptions, connections_max: u32, patience: Duration) -> Self {
        Self(Arc::new(Inner {
            connect,
            connections_max,
            patience,
            permits: Arc::new(Semaphore::new(connections_max as usize)),
            idle: Mutex::default(),
            breaks: AtomicU64::new(0),
        }))
    }

    /// A connection that works as far as can be known. Where there is none within the caller's patience, nothing was sent
    /// to anybody.
    pub(crate) async fn acquire(&self) -> Result<Pooled, Error> {
        let deadline = Instant::now() + self.0.patience;
        let acquiring = Arc::clone(&self.0.permits).acquire_owned();
        let permit = timeout(self.0.patience, acquiring).await.map_err(|_| Error::PoolTimedOut)?;
        let permit = permit.map_err(|_| Error::PoolClosed)?;
        while let Some(idle) = self.0.pop() {
            if let Some(kept) = self.0.usable(idle, deadline).await {
                return Ok(self.lend(kept, permit));
            }
        }
        let connection = self.0.connect(deadline).await?;
        Ok(self.lend(Kept { connection, opened: Instant::now() }, permit))
    }

    fn lend(&self, kept: Kept, permit: OwnedSemaphorePermit) -> Pooled {
        Pooled { kept: Some(kept), permit: Some(permit), pool: Arc::clone(&self.0), is_settled: false }
    }

    /// Somebody has seen that the server went away: what is idle is asked before it is used.
    pub(crate) fn doubt(&self) {
        self.0.doubt();
    }

    /// Waits for the calls that are on their way, and ends all connections.
    pub(crate) async fn close(&self) {
        let all = self.0.permits.acquire_many(self.0.connections_max).await;
        self.0.permits.close();
        while let Some(idle) = self.0.pop() {
            _ = idle.kept.connection.close().await;
        }
        drop(all);
    }
}

impl Inner {
    fn pop(&self) -> Option<Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn doubt(&self) {
        self.breaks.fetch_add(1, Ordering::AcqRel);
    }

    async fn usable(&self, idle: Idle, deadline: Instant) -> Option<Kept> {
        let Idle { mut kept, since, breaks } = idle;
        let is_trusted = since.elapsed() < TRUSTED_MAX && breaks == self.breaks.load(Ordering::Acquire);
        (is_trusted || self.answers(&mut kept, left(deadline)).await).then_some(kept)
    }

    async fn answers(&self, kept: &mut Kept, patience: Duration) -> bool {
        let answers = matches!(timeout(patience, kept.connection.ping()).await, Ok(Ok(())));
        if !answers {
            self.doubt();
        }
        answers
    }

    async fn connect(&self, deadline: Instant) -> Result<PgConnection, Error> {
        let mut pause = RETRY_MIN;
        loop {
            let error = match timeout(left(deadline), self.connect.connect()).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => error,
                Err(_) => return Err(Error::PoolTimedOut),
            };
            if !is_passing(&error) || left(deadline) <= pause {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    fn keep(&self, kept: Kept) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // The one that has been here longest lies at the bottom; a connection that is dropped is closed.
        if idle.first().is_some_and(|oldest| oldest.since.elapsed() > IDLE_MAX) {
            idle.remove(0);
        }
        if kept.opened.elapsed() < AGE_MAX {
            idle.push(Idle { kept, since: Instant::now(), breaks: self.breaks.load(Ordering::Acquire) });
        }
    }
}

/// Errors of connecting that a server which starts, or is short of connections for the moment, gives.
fn is_passing(error: &Error) -> bool {
    match error {
        Error::Io(io) => io.kind() == std::io::ErrorKind::ConnectionRefused,
        Error::Database(error) => matches!(error.code().as_deref(), Some("57P03" | "53300")),
        _ => false,
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// A connection of the pool. It goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Pooled {
    /// There until it is dropped.
    kept: Option<Kept>,
    permit: Option<OwnedSemaphorePermit>,
    pool: Arc<Inner>,
    is_settled: bool,
}

impl Pooled {
    /// Ends the use of it with the result of the last call, outside of a transaction: after a success it can be given back
    /// as it is.
    pub(crate) fn finish<T>(mut self, result: Result<T, Error>) -> Result<T, Error> {
        match &result {
            Ok(_) => self.is_settled = true,
            Err(error) if error::ends_connection(error) => self.pool.doubt(),
            Err(_) => {}
        }
        result
    }
}

impl Deref for Pooled {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.kept.as_ref().expect("it is there until it is dropped").connection
    }
}

impl DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.kept.as_mut().expect("it is there until it is dropped").connection
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let (Some(mut kept), permit, pool) = (self.kept.take(), self.permit.take(), Arc::clone(&self.pool)) else {
            return;
        };
        if self.is_settled {
            pool.keep(kept);
        } else if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // The ping also ends what an abandoned call or transaction has left.
            runtime.spawn(async move {
                if pool.answers(&mut kept, ANSWER_MAX).await {
                    pool.keep(kept);
                }
                drop(permit);
            });
        }
    }
}
