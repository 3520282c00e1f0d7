//! Confirms the receipt of a reply when the connection has taken the reply.
//!
//! Until then the row of the call stays. A daemon that dies before the connection has taken the
//! reply leaves an abandoned execution.

use super::body::{BodyObserver, observed};
use axum::body::Body;
use axum::response::Response;
use tidegate_ports::Receipt;

/// Confirms `receipt` when the connection has taken the body of `response`.
pub(super) fn confirm_when_taken(response: Response, receipt: Receipt) -> Response {
    response.map(|body| observed(body, ReceiptGuard(Some(receipt))))
}

struct ReceiptGuard(Option<Receipt>);

impl BodyObserver for ReceiptGuard {
    /// The connection drops a body when it has taken all of it, also if the body is empty.
    fn body_dropped(&mut self, _: Body) {
        if let Some(receipt) = self.0.take() {
            receipt.confirm();
        }
    }
}
