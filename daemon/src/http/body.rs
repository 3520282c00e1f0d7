//! A body that reports to an observer each frame that is read, and the drop of the body.

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

/// One result of polling a body.
pub(super) type FramePoll = Poll<Option<Result<Frame<Bytes>, axum::Error>>>;

pub(super) trait BodyObserver: Send + Unpin + 'static {
    fn frame_polled(&mut self, _frame: &FramePoll) {}

    /// `body` is the rest that was not read.
    fn body_dropped(&mut self, body: Body);
}

pub(super) fn observed(body: Body, observer: impl BodyObserver) -> Body {
    Body::new(ObservedBody { body, observer })
}

struct ObservedBody<O: BodyObserver> {
    body: Body,
    observer: O,
}

impl<O: BodyObserver> HttpBody for ObservedBody<O> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> FramePoll {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        self.observer.frame_polled(&frame);
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<O: BodyObserver> Drop for ObservedBody<O> {
    fn drop(&mut self) {
        self.observer.body_dropped(std::mem::take(&mut self.body));
    }
}
