//! A reply is delivered when the connection has taken it. Until then its row stays, so that a daemon that dies with a reply
//! in its hands leaves an abandoned execution.

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use tidegate_ports::Receipt;

/// Signs `receipt` as the connection takes the body of `response`, which has come to its end then.
pub(super) fn signed_for(response: Response, receipt: Receipt) -> Response {
    response.map(|body| Body::new(SignedFor { body, receipt: Some(receipt) }))
}

struct SignedFor {
    body: Body,
    receipt: Option<Receipt>,
}

impl HttpBody for SignedFor {
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

/// The connection drops a body when it has taken all of it, which may be nothing.
impl Drop for SignedFor {
    fn drop(&mut self) {
        if let Some(receipt) = self.receipt.take() {
            receipt.confirm();
        }
    }
}
