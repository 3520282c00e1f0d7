//! A pool of connections.
//!
//! The pool of sqlx pings each connection that is returned, which is a second round trip per call.
//! This pool pings only a connection that may be broken. After a successful call a connection
//! returns without a ping. After a failed or dropped call it is pinged first. When one connection
//! is found broken or silent, all idle connections are dropped, because a call over a dead
//! connection fails with an unknown fate, and a ping over a silent one takes long.
//!
//! Each call has a deadline, because a connection may fall silent without an error: the server is
//! frozen, or a firewall has forgotten the connection. The connection of an overdue call is
//! dropped.

use crate::error;
use crate::session::Session;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Error};
use std::collections::BTreeSet;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tidegate_core::{Fate, StoreError, StoreErrorKind};
use tidegate_ports::PortError;
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
/// The most time for the answer to a ping. A connection that is slower is dropped.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// How long the refusal of a write shows that nothing can be written. The back-off of a dispatcher
/// is at most 3 s.
const REFUSAL_AGE_MAX: Duration = Duration::from_secs(4);
/// The deadline of a call that does the work of many, such as a deployment, in call timeouts.
const LONG_CALL: u32 = 12;
/// The pauses between tries to connect while the server is starting or has no free connection.
const RETRY_MIN: Duration = Duration::from_millis(10);
const RETRY_MAX: Duration = Duration::from_millis(500);

/// A pool with a maximum number of connections. Callers get a connection in the order of their
/// requests.
#[derive(Clone, Debug)]
pub(crate) struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connect: PgConnectOptions,
    session: Mutex<Session>,
    connections_max: u32,
    call_timeout: Duration,
    permits: Arc<Semaphore>,
    /// The connection that was returned last is used next. So the pool uses few connections, and
    /// closes the others when they were idle for [`IDLE_MAX`].
    idle: Mutex<Vec<IdleConnection>>,
    calls: Mutex<Calls>,
}

/// The calls in flight.
#[derive(Debug, Default)]
struct Calls {
    /// When each call is overdue, with its number.
    in_flight: BTreeSet<(Instant, u64)>,
    last_number: u64,
    /// The refusal of the last write, and its time. `None` after a write that succeeded.
    refusal: Option<(Instant, StoreError)>,
}

/// The error of a call.
pub(crate) trait CallError: From<StoreError> {
    fn store(&self) -> Option<&StoreError>;
}

impl CallError for StoreError {
    fn store(&self) -> Option<&StoreError> {
        Some(self)
    }
}

impl CallError for PortError {
    fn store(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
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
}

impl Pool {
    /// Creates a pool. It opens its first connection at the first call.
    pub(crate) fn new(connect: PgConnectOptions, connections_max: u32, call_timeout: Duration) -> Self {
        Self(Arc::new(Inner {
            connect,
            session: Mutex::new(Session::of_calls(call_timeout)),
            connections_max,
            call_timeout,
            permits: Arc::new(Semaphore::new(connections_max as usize)),
            idle: Mutex::default(),
            calls: Mutex::default(),
        }))
    }

    /// Runs a call that changes nothing. If it is overdue, nothing was done.
    pub(crate) async fn read<T, E: CallError>(&self, call: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        self.run(self.0.call_timeout, Fate::NotApplied, call).await
    }

    /// Runs a call that changes the database. If it is overdue, its fate is unknown.
    pub(crate) async fn write<T, E: CallError>(&self, call: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let result = self.run(self.0.call_timeout, Fate::Unknown, call).await;
        self.0.calls().refusal = result
            .as_ref()
            .err()
            .and_then(E::store)
            .and_then(|error| (error.kind == StoreErrorKind::Unavailable).then(|| (Instant::now(), error.clone())));
        result
    }

    /// The refusal of the last write, unless it is old. A dispatcher repeats a refused write within
    /// [`REFUSAL_AGE_MAX`].
    pub(crate) fn refusal(&self) -> Option<StoreError> {
        let calls = self.0.calls();
        calls.refusal.as_ref().filter(|(at, _)| at.elapsed() < REFUSAL_AGE_MAX).map(|(_, error)| error.clone())
    }

    /// Runs a call that does the work of many.
    pub(crate) async fn write_long<T>(&self, call: impl Future<Output = Result<T, PortError>>) -> Result<T, PortError> {
        self.run(self.long_timeout(), Fate::Unknown, call).await
    }

    pub(crate) fn long_timeout(&self) -> Duration {
        self.0.call_timeout * LONG_CALL
    }

    async fn run<T, E: CallError>(
        &self,
        limit: Duration,
        fate: Fate,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        // Half of the limit: `/readyz` reports a silent server before the first call fails.
        let in_flight = self.0.begin(Instant::now() + limit / 2);
        let result = timeout(limit, call).await;
        drop(in_flight);
        result.unwrap_or_else(|_| {
            self.0.drop_idle();
            Err(error::overdue(fate, limit).into())
        })
    }

    /// Whether a call runs, which has a deadline.
    pub(crate) fn has_call_in_flight(&self) -> bool {
        !self.0.calls().in_flight.is_empty()
    }

    /// Whether a call has waited for half of its deadline.
    pub(crate) fn is_overdue(&self) -> bool {
        self.0.calls().in_flight.first().is_some_and(|(at, _)| *at < Instant::now())
    }

    /// Takes a connection, or opens one. An error means that nothing was sent.
    ///
    /// It takes at most a part of the call timeout, so that time for the call is left.
    pub(crate) async fn acquire(&self) -> Result<Pooled, Error> {
        let acquire_timeout = self.0.acquire_timeout();
        let deadline = Instant::now() + acquire_timeout;
        let acquiring = Arc::clone(&self.0.permits).acquire_owned();
        let permit = timeout(acquire_timeout, acquiring).await.map_err(|_| Error::PoolTimedOut)?;
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
        let lent = Instant::now();
        Pooled { live: Some(live), permit: Some(permit), pool: Arc::clone(&self.0), lent, is_clean: false }
    }

    /// Sets a setting of all later sessions. The idle connections are closed.
    pub(crate) fn set_option(&self, name: &str, value: &str) {
        self.0.session.lock().unwrap_or_else(PoisonError::into_inner).set(name, value);
        self.0.drop_idle();
    }

    /// Drops the idle connections, because they may be broken.
    pub(crate) fn drop_idle(&self) {
        self.0.drop_idle();
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

    fn drop_idle(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn acquire_timeout(&self) -> Duration {
        self.call_timeout * 3 / 5
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(self: &Arc<Self>, overdue_at: Instant) -> CallInFlight {
        let mut calls = self.calls();
        calls.last_number += 1;
        let call = (overdue_at, calls.last_number);
        calls.in_flight.insert(call);
        CallInFlight { call, pool: Arc::clone(self) }
    }

    async fn usable(&self, idle: IdleConnection, deadline: Instant) -> Option<LiveConnection> {
        let IdleConnection { mut live, since } = idle;
        let answer_max = time_left(deadline).min(ANSWER_MAX);
        (since.elapsed() < TRUSTED_MAX || self.answers(&mut live, answer_max).await).then_some(live)
    }

    /// Pings a connection. If the server does not answer, all idle connections are dropped.
    async fn answers(&self, live: &mut LiveConnection, answer_max: Duration) -> bool {
        let answers = matches!(timeout(answer_max, live.connection.ping()).await, Ok(Ok(())));
        if !answers {
            self.drop_idle();
        }
        answers
    }

    async fn connect(&self, deadline: Instant) -> Result<PgConnection, Error> {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut pause = RETRY_MIN;
        loop {
            let error = match open(&self.connect, &session, time_left(deadline)).await {
                Err(error) if is_transient(&error) && time_left(deadline) > pause => error,
                result => return result,
            };
            tracing::debug!("Postgres has no session for this connection, trying again: {}", error::text(&error));
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
            idle.push(IdleConnection { live, since: Instant::now() });
        }
    }
}

/// Opens a connection and prepares its session.
pub(crate) async fn open(
    connect: &PgConnectOptions,
    session: &Session,
    connect_max: Duration,
) -> Result<PgConnection, Error> {
    let opening = async {
        let mut connection = connect.connect().await?;
        session.prepare(&mut connection).await?;
        Ok(connection)
    };
    let silent = || std::io::Error::new(std::io::ErrorKind::TimedOut, format!("no session within {connect_max:?}"));
    timeout(connect_max, opening).await.unwrap_or_else(|_| Err(Error::Io(silent())))
}

/// Whether the error means that the server is starting or has no free connection.
fn is_transient(error: &Error) -> bool {
    match error {
        Error::Database(error) => matches!(error.code().as_deref(), Some("57P03" | "53300")),
        _ => false,
    }
}

fn time_left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// A call that is in flight until the drop.
#[derive(Debug)]
struct CallInFlight {
    call: (Instant, u64),
    pool: Arc<Inner>,
}

impl Drop for CallInFlight {
    fn drop(&mut self) {
        self.pool.calls().in_flight.remove(&self.call);
    }
}

/// A connection of the pool. Dropping it returns it to the pool.
#[derive(Debug)]
pub(crate) struct Pooled {
    /// `Some` until the drop.
    live: Option<LiveConnection>,
    permit: Option<OwnedSemaphorePermit>,
    pool: Arc<Inner>,
    lent: Instant,
    /// Whether the last call succeeded, so that the connection needs no ping.
    is_clean: bool,
}

impl Pooled {
    /// Takes the result of the last call, outside of a transaction. After a success the connection
    /// returns without a ping.
    pub(crate) fn finish<T>(mut self, result: Result<T, Error>) -> Result<T, Error> {
        match &result {
            Ok(_) => self.is_clean = true,
            Err(error) if error::ends_connection(error) => self.pool.drop_idle(),
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
        } else if self.lent.elapsed() > pool.call_timeout - pool.acquire_timeout() {
            // The call was probably overdue. A ping would take long, too.
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
