//! What nobody read of a request's body, as a request may be refused by its head. hyper closes a connection on which such a
//! rest is still to come, without a word in the answer: the client sends its next request there, and gets none.

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt;
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;

/// How long more of the rest is waited for, how long all of it may take, and how many bytes of it are read over. Beyond it
/// the connection is not worth it, and who still sends when it is closed may not get to see why.
const MORE_WITHIN: Duration = Duration::from_secs(2);
const REST_WITHIN: Duration = Duration::from_secs(30);
const REST_BYTES_MAX: usize = 8 << 20;

/// Reads the rest over before the request is answered, or says in the answer that the connection ends with it.
pub(super) async fn read_over(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let asks_first = request.headers().contains_key(header::EXPECT);
    let (give_back, mut given_back) = oneshot::channel();
    let request =
        request.map(|body| Body::new(Lent { body, is_begun: false, is_broken: false, give_back: Some(give_back) }));
    let mut response = next.run(request).await;
    if let Ok(Rest { body, is_begun, is_broken }) = given_back.try_recv()
        // Reading would ask for what the caller has not begun to send.
        && (is_broken || (asks_first && !is_begun) || !is_read_over(body).await)
    {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn is_read_over(body: Body) -> bool {
    let read = async {
        let (mut frames, mut length) = (body.into_data_stream(), 0_usize);
        loop {
            match tokio::time::timeout(MORE_WITHIN, frames.next()).await {
                Ok(None) => return true,
                Ok(Some(Ok(frame))) if length <= REST_BYTES_MAX => length = length.saturating_add(frame.len()),
                // Too much, broken, or nothing for too long.
                _ => return false,
            }
        }
    };
    tokio::time::timeout(REST_WITHIN, read).await.unwrap_or(false)
}

/// A body that comes back when whoever had it has read enough.
struct Lent {
    body: Body,
    is_begun: bool,
    is_broken: bool,
    give_back: Option<oneshot::Sender<Rest>>,
}

struct Rest {
    body: Body,
    /// Somebody has asked for it.
    is_begun: bool,
    /// What came is no body.
    is_broken: bool,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.is_begun = true;
        let frame = Pin::new(&mut self.body).poll_frame(context);
        match &frame {
            Poll::Ready(None) => self.give_back = None,
            Poll::Ready(Some(Err(_))) => self.is_broken = true,
            _ => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Self { is_begun, is_broken, .. } = *self;
        if let Some(give_back) = self.give_back.take()
            && (is_broken || !self.body.is_end_stream())
        {
            // Whoever lent it may have been dropped with its caller.
            give_back.send(Rest { body: std::mem::take(&mut self.body), is_begun, is_broken }).ok();
        }
    }
}
