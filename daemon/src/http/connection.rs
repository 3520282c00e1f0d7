//! Connections that know when their replies were sent, and whether they wait for their client.
//!
//! hyper copies a reply to a buffer of its own and then writes the buffer to the socket. A reply in
//! the buffer may never reach the socket: the daemon may die, or the caller may close the
//! connection. hyper flushes a connection only after it has written the whole buffer. So at a flush
//! the kernel has every byte of the replies that were complete before.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tidegate_ports::Receipt;
use tokio::sync::Notify;

/// The connection of a request. Clones are the same connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Connection(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    close: Notify,
}

#[derive(Debug)]
struct State {
    /// The receipts of complete replies of which the kernel does not have all bytes yet.
    unsent: Vec<Receipt>,
    /// hyper has the whole reply to the last request.
    is_replied: bool,
    is_closed: bool,
    wait: Wait,
    wait_began_at: Instant,
}

impl Default for State {
    fn default() -> Self {
        let (wait, wait_began_at) = (Wait::Head, Instant::now());
        Self { unsent: Vec::new(), is_replied: false, is_closed: false, wait, wait_began_at }
    }
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// The client may send another request.
    NextRequest,
    /// The client has not sent the whole head of its request. This is the first state.
    Head,
    /// The client has not sent the whole body, and the handler has read all of the rest.
    Body,
    /// The daemon has not answered the request.
    Answer,
    /// The client does not read its reply.
    Reader,
}

impl Connection {
    /// Confirms `receipt` at the next flush. Drops it if the connection closes before.
    pub(super) fn confirm_at_flush(&self, receipt: Receipt) {
        let mut state = self.lock();
        if !state.is_closed {
            state.unsent.push(receipt);
        }
    }

    /// The wait of the connection, and when it began. `None` if the connection is being closed.
    pub(super) fn wait(&self) -> Option<(Wait, Instant)> {
        let state = self.lock();
        (!state.is_closed).then_some((state.wait, state.wait_began_at))
    }

    /// Closes the connection, unless it has begun to wait for something else than `wait`. Returns
    /// whether it is closed.
    pub(super) fn close_if(&self, wait: Wait) -> bool {
        let mut state = self.lock();
        if state.wait == wait {
            state.close();
            drop(state);
            self.0.close.notify_one();
            return true;
        }
        false
    }

    /// Waits until [`Self::close_if`] has closed the connection.
    pub(super) async fn close_requested(&self) {
        self.0.close.notified().await;
    }

    /// Returns `false` if the connection is being closed: then the request must not begin.
    pub(super) fn begin_request(&self) -> bool {
        let mut state = self.lock();
        state.is_replied = false;
        state.begin(Wait::Answer);
        !state.is_closed
    }

    /// hyper has the whole reply to the request.
    pub(super) fn end_reply(&self) {
        self.lock().is_replied = true;
    }

    /// The handler waits for the rest of the body, or has received some of it.
    pub(super) fn set_body_wait(&self, waits: bool) {
        let mut state = self.lock();
        match (state.wait, waits) {
            (Wait::Answer, true) => state.begin(Wait::Body),
            (Wait::Body, false) => state.begin(Wait::Answer),
            _ => {}
        }
    }

    pub(super) fn received(&self) {
        let mut state = self.lock();
        if state.wait == Wait::NextRequest {
            state.begin(Wait::Head);
        }
    }

    /// The kernel takes no more bytes of the reply, or has taken some.
    pub(super) fn set_reader_wait(&self, waits: bool) {
        let mut state = self.lock();
        match (state.wait, waits) {
            (Wait::Answer, true) => state.begin(Wait::Reader),
            (Wait::Reader, false) => state.begin(Wait::Answer),
            _ => {}
        }
    }

    pub(super) fn flushed(&self) {
        let mut state = self.lock();
        if state.is_replied && matches!(state.wait, Wait::Answer | Wait::Reader | Wait::Body) {
            state.begin(Wait::NextRequest);
        }
        let sent = std::mem::take(&mut state.unsent);
        drop(state);
        sent.into_iter().for_each(Receipt::confirm);
    }

    pub(super) fn closed(&self) {
        self.lock().close();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // A panic while holding this lock leaves the state consistent.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn begin(&mut self, wait: Wait) {
        (self.wait, self.wait_began_at) = (wait, Instant::now());
    }

    fn close(&mut self) {
        self.is_closed = true;
        self.unsent.clear();
    }
}

/// The connection of the caller. `None` for a request without a socket, as in tests.
#[derive(Clone, Debug)]
pub(super) struct CallerConnection(pub(super) Option<Connection>);

impl<S: Sync> FromRequestParts<S> for CallerConnection {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

impl CallerConnection {
    pub(super) fn of(parts: &Parts) -> Self {
        Self(parts.extensions.get::<Connection>().cloned())
    }
}
