//! Reads the rest of a request's body that its handler did not read.
//!
//! A request may be refused before its body is read. hyper closes a connection that still carries
//! unread body bytes, and the response does not say so: a client that sends its next request on
//! this connection gets no response.

use super::body::{BodyObserver, FramePoll, observed};
use super::connection::CallerConnection;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::oneshot;

// Beyond any of these three limits the connection is closed. A client that is still sending then
// may not receive the response.
const NEXT_FRAME_TIMEOUT: Duration = Duration::from_secs(2);
const REST_TIMEOUT: Duration = Duration::from_secs(30);
const REST_BYTES_MAX: usize = 8 << 20;

/// Reads the rest before the response is sent. If the rest cannot be read, the response says
/// `connection: close`.
pub(super) async fn drain_request_body(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let expects_continue = request.headers().contains_key(header::EXPECT);
    let (sender, mut receiver) = oneshot::channel();
    let (parts, body) = request.into_parts();
    let connection = CallerConnection::of(&parts);
    let lender = BodyLender { was_polled: false, is_broken: false, sender: Some(sender), connection };
    let mut response = next.run(Request::from_parts(parts, observed(body, lender))).await;
    if let Ok(UnreadBody { body, was_polled, is_broken }) = receiver.try_recv()
        // Polling would send `100 Continue` and make the client send the body.
        && (is_broken || (expects_continue && !was_polled) || !drain(body).await)
    {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// True if the body ended within the limits.
async fn drain(body: Body) -> bool {
    let read = async {
        let (mut frames, mut length) = (body.into_data_stream(), 0_usize);
        loop {
            match tokio::time::timeout(NEXT_FRAME_TIMEOUT, frames.next()).await {
                Ok(None) => return true,
                Ok(Some(Ok(frame))) if length <= REST_BYTES_MAX => length = length.saturating_add(frame.len()),
                // Too many bytes, a broken body or a frame that did not come in time.
                _ => return false,
            }
        }
    };
    tokio::time::timeout(REST_TIMEOUT, read).await.unwrap_or(false)
}

/// Sends the body back when the handler drops it before its end. Marks the connection while the
/// handler waits for the body.
struct BodyLender {
    was_polled: bool,
    is_broken: bool,
    sender: Option<oneshot::Sender<UnreadBody>>,
    connection: CallerConnection,
}

struct UnreadBody {
    body: Body,
    was_polled: bool,
    /// The client sent bytes that are not a valid body.
    is_broken: bool,
}

impl BodyObserver for BodyLender {
    fn frame_polled(&mut self, frame: &FramePoll) {
        self.was_polled = true;
        if let CallerConnection(Some(connection)) = &self.connection {
            connection.set_body_wait(frame.is_pending());
        }
        match frame {
            Poll::Ready(None) => self.sender = None,
            Poll::Ready(Some(Err(_))) => self.is_broken = true,
            _ => {}
        }
    }

    fn body_dropped(&mut self, body: Body) {
        let Self { was_polled, is_broken, .. } = *self;
        if let Some(sender) = self.sender.take()
            && (is_broken || !body.is_end_stream())
        {
            // Sending fails if the request was dropped with its connection.
            sender.send(UnreadBody { body, was_polled, is_broken }).ok();
        }
    }
}
