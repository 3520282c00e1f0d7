//! A pool of connections.
//!
//! The pool of sqlx pings each connection that is returned, which is a second round trip per call.
//! This pool pings only a connection that may be broken. After a successful call a connection
//! returns without a ping. After a failed or dropped call it is pinged first. When one connection
//! is found broken, all idle connections are pinged before their next use, because a call over a
//! dead connection fails with an unknown fate.

use crate::error;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Error};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// A connection that was idle for longer is pinged before its use: the server or a proxy may have
/// dropped it silently.
const TRUSTED_MAX: Duration = Duration::from_secs(1);
/// A connection that was idle for longer is closed, because it was opened for a peak of load.
const IDLE_MAX: Duration = Duration::from_secs(600);
/// An older connection is closed when it is returned, because the memory of its server process
/// grows with use.
const AGE_MAX: Duration = Duration::from_secs(1_800);
/// The most time for the answer to a ping after a failed call. No caller waits for it.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// The pauses between tries to connect. A server that refuses connections may be starting.
const RETRY_MIN: Duration = Duration::from_millis(10);
const RETRY_MAX: Duration = Duration::from_millis(500);

/// A pool with a maximum number of connections. Callers get a connection in the order of their
/// requests.
#[derive(Clone, Debug)]
pub(crate) struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connect: Mutex<PgConnectOptions>,
    connections_max: u32,
    /// How long a caller waits for a connection.
    acquire_timeout: Duration,
    permits: Arc<Semaphore>,
    /// The connection that was returned last is used next. So the pool uses few connections, and
    /// closes the others when they were idle for [`IDLE_MAX`].
    idle: Mutex<Vec<IdleConnection>>,
    /// How many times a connection was found broken.
    breaks: AtomicU64,
}

#[derive(Debug)]
struct LiveConnection {
    connection: PgConnection,
    opened: Instant,
}

#[derive(Debug)]
struct IdleConnection {
    live: LiveConnection,
    since: Instant,
    /// The value of [`Inner::breaks`] when the connection was returned.
    breaks: u64,
}

impl Pool {
    /// Creates a pool. It opens its first connection at the first call.
    pub(crate) fn new(connect: PgConnectOptions, connections_max: u32, acquire_timeout: Duration) -> Self {
        Self(Arc::new(Inner {
            connect: Mutex::new(connect),
            connections_max,
            acquire_timeout,
            permits: Arc::new(Semaphore::new(connections_max as usize)),
            idle: Mutex::default(),
            breaks: AtomicU64::new(0),
        }))
    }

    /// Takes a connection, or opens one. An error means that nothing was sent.
    pub(crate) async fn acquire(&self) -> Result<Pooled, Error> {
        let deadline = Instant::now() + self.0.acquire_timeout;
        let acquiring = Arc::clone(&self.0.permits).acquire_owned();
        let permit = timeout(self.0.acquire_timeout, acquiring).await.map_err(|_| Error::PoolTimedOut)?;
        let permit = permit.map_err(|_| Error::PoolClosed)?;
        while let Some(idle) = self.0.pop() {
            if let Some(live) = self.0.usable(idle, deadline).await {
                return Ok(self.lend(live, permit));
            }
        }
        let connection = self.0.connect(deadline).await?;
        Ok(self.lend(LiveConnection { connection, opened: Instant::now() }, permit))
    }

    fn lend(&self, live: LiveConnection, permit: OwnedSemaphorePermit) -> Pooled {
        Pooled { live: Some(live), permit: Some(permit), pool: Arc::clone(&self.0), is_clean: false }
    }

    /// Sets a setting of all later sessions. The idle connections are closed.
    pub(crate) fn set_option(&self, name: &str, value: &str) {
        let mut connect = self.0.connect.lock().unwrap_or_else(PoisonError::into_inner);
        *connect = connect.clone().options([(name, value)]);
        drop(connect);
        while self.0.pop().is_some() {}
    }

    /// Records that connections may be broken: all idle connections are pinged before their next
    /// use.
    pub(crate) fn suspect_idle(&self) {
        self.0.suspect_idle();
    }

    /// Waits for the calls in flight, then closes all connections.
    pub(crate) async fn close(&self) {
        let all = self.0.permits.acquire_many(self.0.connections_max).await;
        self.0.permits.close();
        while let Some(idle) = self.0.pop() {
            _ = idle.live.connection.close().await;
        }
        drop(all);
    }
}

impl Inner {
    fn pop(&self) -> Option<IdleConnection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn suspect_idle(&self) {
        self.breaks.fetch_add(1, Ordering::AcqRel);
    }

    async fn usable(&self, idle: IdleConnection, deadline: Instant) -> Option<LiveConnection> {
        let IdleConnection { mut live, since, breaks } = idle;
        let is_trusted = since.elapsed() < TRUSTED_MAX && breaks == self.breaks.load(Ordering::Acquire);
        (is_trusted || self.answers(&mut live, time_left(deadline)).await).then_some(live)
    }

    /// Pings a connection. If the server does not answer, all idle connections are pinged before
    /// their next use.
    async fn answers(&self, live: &mut LiveConnection, answer_max: Duration) -> bool {
        let answers = matches!(timeout(answer_max, live.connection.ping()).await, Ok(Ok(())));
        if !answers {
            self.suspect_idle();
        }
        answers
    }

    async fn connect(&self, deadline: Instant) -> Result<PgConnection, Error> {
        let options = self.connect.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut pause = RETRY_MIN;
        loop {
            let error = match timeout(time_left(deadline), options.connect()).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => error,
                Err(_) => return Err(Error::PoolTimedOut),
            };
            if !is_transient(&error) || time_left(deadline) <= pause {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    /// Returns a connection to the pool, unless it is too old. A dropped connection is closed.
    fn put_back(&self, live: LiveConnection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // The first element has been idle for the longest time.
        if idle.first().is_some_and(|oldest| oldest.since.elapsed() > IDLE_MAX) {
            idle.remove(0);
        }
        if live.opened.elapsed() < AGE_MAX {
            idle.push(IdleConnection { live, since: Instant::now(), breaks: self.breaks.load(Ordering::Acquire) });
        }
    }
}

/// Whether the error means that the server is starting or has no free connection.
fn is_transient(error: &Error) -> bool {
    match error {
        Error::Io(io) => io.kind() == std::io::ErrorKind::ConnectionRefused,
        Error::Database(error) => matches!(error.code().as_deref(), Some("57P03" | "53300")),
        _ => false,
    }
}

fn time_left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// A connection of the pool. Dropping it returns it to the pool.
#[derive(Debug)]
pub(crate) struct Pooled {
    /// `Some` until the drop.
    live: Option<LiveConnection>,
    permit: Option<OwnedSemaphorePermit>,
    pool: Arc<Inner>,
    /// Whether the last call succeeded, so that the connection needs no ping.
    is_clean: bool,
}

impl Pooled {
    /// Takes the result of the last call, outside of a transaction. After a success the connection
    /// returns without a ping.
    pub(crate) fn finish<T>(mut self, result: Result<T, Error>) -> Result<T, Error> {
        match &result {
            Ok(_) => self.is_clean = true,
            Err(error) if error::ends_connection(error) => self.pool.suspect_idle(),
            Err(_) => {}
        }
        result
    }
}

impl Deref for Pooled {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.live.as_ref().expect("the connection is taken only by the drop").connection
    }
}

impl DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.live.as_mut().expect("the connection is taken only by the drop").connection
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let (Some(mut live), permit, pool) = (self.live.take(), self.permit.take(), Arc::clone(&self.pool)) else {
            return;
        };
        if self.is_clean {
            pool.put_back(live);
        } else if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // The ping also ends the call or transaction that a dropped future has left open.
            runtime.spawn(async move {
                if pool.answers(&mut live, ANSWER_MAX).await {
                    pool.put_back(live);
                }
                drop(permit);
            });
        }
    }
}
