//! Accepts connections and serves the API on them.

use super::connection::Connection;
use super::connections::{ConnectionLimits, Connections, Place};
use super::reply_stream::ReplyStream;
use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::response::Response;
use axum::serve::Listener;
use http_body::{Frame, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tower::Service as _;

/// The interval at which connections are compared with their timeouts.
const EXPIRY_INTERVAL: Duration = Duration::from_millis(250);
/// The buffer of a connection, and so the longest head of a request. hyper's default is six times
/// as much, which a client could make each of its connections occupy.
const BUFFER_BYTES_MAX: usize = 64 << 10;
/// The shortest time between two log lines about refused connections.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
    tidegate-code: too_many_connections\r\ncontent-length: 0\r\n\r\n";

/// The address of the client of a request. It is in the extensions of the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Serves `api` until `stop` is true, and then until all connections have ended.
pub async fn serve_api(
    mut listener: TcpListener,
    api: Router,
    limits: ConnectionLimits,
    mut stop: watch::Receiver<bool>,
) {
    let connections = Connections::new(limits);
    let (mut tasks, mut expiry) = (JoinSet::new(), interval(EXPIRY_INTERVAL));
    expiry.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stopping = stop.clone();
    let mut logged_at = None;
    loop {
        let (stream, peer) = tokio::select! {
            biased;
            // An error means that the sender is dropped, which stops the server, too.
            _ = stop.wait_for(|stop| *stop) => break,
            _ = expiry.tick() => {
                connections.close_expired();
                continue;
            }
            Some(_) = tasks.join_next(), if !tasks.is_empty() => continue,
            accepted = Listener::accept(&mut listener) => accepted,
        };
        match connections.admit(peer.ip()) {
            Some(place) => _ = tasks.spawn(serve(stream, peer, place, api.clone(), stopping.clone())),
            None => refuse(&stream, peer, &mut logged_at),
        }
    }
    drop(listener);
    while tasks.join_next().await.is_some() {}
}

/// The connection is closed with the drop of `stream`.
fn refuse(stream: &TcpStream, peer: SocketAddr, logged_at: &mut Option<Instant>) {
    // A client that receives no answer sees the end of the connection.
    stream.try_write(REFUSAL).ok();
    if logged_at.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
        *logged_at = Some(Instant::now());
        tracing::warn!(
            http.peer = %peer,
            "a connection was refused, because all connections have a request that is being answered; \
             raise http.connections_max or http.connections_per_address_max"
        );
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, place: Place, api: Router, mut stop: watch::Receiver<bool>) {
    let connection = &place.connection;
    let service = service_fn(|request| answer(api.clone(), request.map(Body::new), connection.clone(), peer));
    let stream = ReplyStream { stream, connection: connection.clone(), is_blocked: false };
    let mut builder = http1::Builder::new();
    let served = builder.max_buf_size(BUFFER_BYTES_MAX).serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(served);
    tokio::select! {
        biased;
        // An error is the failure of the connection, which its client knows.
        _ = served.as_mut() => return,
        () = connection.close_requested() => return,
        _ = stop.wait_for(|stop| *stop) => {}
    }
    served.as_mut().graceful_shutdown();
    served.await.ok();
}

async fn answer(
    mut api: Router,
    mut request: Request,
    connection: Connection,
    peer: SocketAddr,
) -> Result<Response<ReplyBody>, Infallible> {
    if !connection.begin_request() {
        return std::future::pending().await;
    }
    request.extensions_mut().insert(connection.clone());
    request.extensions_mut().insert(Peer(peer));
    let response = api.call(request).await?;
    Ok(response.map(|body| ReplyBody { body, connection }))
}

/// The body of a reply. hyper drops it when its own buffer has all of it.
struct ReplyBody {
    body: Body,
    connection: Connection,
}

impl HttpBody for ReplyBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for ReplyBody {
    fn drop(&mut self) {
        self.connection.end_reply();
    }
}
