//! Connections that know when their replies were sent.
//!
//! hyper copies a reply to a buffer of its own and then writes the buffer to the socket. A reply in
//! the buffer may never reach the socket: the daemon may die, or the caller may close the
//! connection. hyper flushes a connection only after it has written the whole buffer. So at a flush
//! the kernel has every byte of the replies that were complete before.

use axum::extract::FromRequestParts;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::http::request::Parts;
use axum::serve::{IncomingStream, Listener};
use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tidegate_ports::Receipt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// The connection of a request.
#[derive(Clone, Debug, Default)]
pub struct Connection(Arc<Mutex<Replies>>);

#[derive(Debug, Default)]
struct Replies {
    /// The receipts of complete replies of which the kernel does not have all bytes yet.
    unsent: Vec<Receipt>,
    is_closed: bool,
}

impl Connection {
    /// Confirms `receipt` at the next flush. Drops it if the connection closes before.
    pub(super) fn confirm_at_flush(&self, receipt: Receipt) {
        let mut replies = self.lock();
        if !replies.is_closed {
            replies.unsent.push(receipt);
        }
    }

    fn flushed(&self) {
        let sent = std::mem::take(&mut self.lock().unsent);
        sent.into_iter().for_each(Receipt::confirm);
    }

    fn closed(&self) {
        let mut replies = self.lock();
        replies.is_closed = true;
        replies.unsent.clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Replies> {
        // A panic while holding this lock leaves the state consistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection of the caller. `None` for a request without a socket, as in tests.
#[derive(Debug)]
pub(super) struct CallerConnection(pub(super) Option<Connection>);

impl<S: Sync> FromRequestParts<S> for CallerConnection {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

impl CallerConnection {
    pub(super) fn of(parts: &Parts) -> Self {
        Self(parts.extensions.get::<ConnectInfo<Connection>>().map(|connection| connection.0.clone()))
    }
}

/// Accepts connections that know when their replies were sent.
#[derive(Debug)]
pub struct ReplyListener(pub TcpListener);

impl Listener for ReplyListener {
    type Io = ReplyStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (ReplyStream, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        (ReplyStream { stream, connection: Connection::default() }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, ReplyListener>> for Connection {
    fn connect_info(stream: IncomingStream<'_, ReplyListener>) -> Self {
        stream.io().connection.clone()
    }
}

#[derive(Debug)]
pub struct ReplyStream {
    stream: TcpStream,
    connection: Connection,
}

impl Drop for ReplyStream {
    fn drop(&mut self) {
        self.connection.closed();
    }
}

impl AsyncRead for ReplyStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for ReplyStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if let Poll::Ready(Ok(())) = flushed {
            self.connection.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
