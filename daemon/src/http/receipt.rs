//! Confirms the receipt of a reply when the kernel has all bytes of the reply.
//!
//! Until then the row of the call stays. If the daemon dies or the caller closes the connection
//! before, the call becomes an abandoned execution.

use super::body::{BodyObserver, observed};
use super::connection::CallerConnection;
use axum::body::Body;
use axum::response::Response;
use tidegate_ports::Receipt;

/// Confirms `receipt` when the kernel has all bytes of `response`.
pub(super) fn confirm_when_sent(response: Response, receipt: Receipt, connection: CallerConnection) -> Response {
    response.map(|body| observed(body, ReceiptGuard(Some((receipt, connection)))))
}

struct ReceiptGuard(Option<(Receipt, CallerConnection)>);

impl BodyObserver for ReceiptGuard {
    /// hyper drops a body when its own buffer has all of it, also if the body is empty. It also
    /// drops a body when the connection fails; then no flush follows.
    fn body_dropped(&mut self, _: Body) {
        match self.0.take() {
            Some((receipt, CallerConnection(Some(connection)))) => connection.confirm_at_flush(receipt),
            Some((receipt, CallerConnection(None))) => receipt.confirm(),
            None => {}
        }
    }
}
