//! A panic in a request handler is logged and answered with status 500.

use super::problem::Problem;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::any::Any;
use tower::{Layer, ServiceExt};
use tower_http::catch_panic::{CatchPanicLayer, ResponseForPanic};

/// Builds the layer for each request, because its callback gets the panic but not the request,
/// and the log line names the path.
pub(super) async fn catch_panic(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    CatchPanicLayer::custom(PanicReporter { path }).layer(next).oneshot(request).await.into_response()
}

#[derive(Clone)]
struct PanicReporter {
    path: String,
}

impl ResponseForPanic for PanicReporter {
    type ResponseBody = Body;

    fn response_for_panic(&mut self, panic: Box<dyn Any + Send + 'static>) -> Response {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or_default();
        tracing::error!(http.path = self.path, "a request handler panicked: {text}");
        Problem::internal("the request handler panicked; the request may have been applied; see the log of the daemon")
            .into_response()
    }
}
