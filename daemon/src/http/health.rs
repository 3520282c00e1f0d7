//! `/healthz`, `/readyz` and `/v1/version`.

use super::extract::Plain;
use super::problem::state_of_store;
use super::state::{ApiState, Readiness};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// Answers 200 while the process runs.
pub(super) async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Answers 200 while the store answers.
///
/// Answers 503 with the reason if the store does not answer or the daemon is shutting down. The
/// reason names no file, host or role, because the request needs no token. Stuck
/// script threads are a detail of a ready daemon, because other scripts run.
pub(super) async fn readyz(State(state): State<ApiState>) -> Response {
    let services = match &*state.readiness.borrow() {
        Readiness::Ready(services) => Ok(services.clone()),
        Readiness::Unavailable(reason) => Err(reason.clone()),
        Readiness::ShuttingDown => Err("shutting down".to_owned()),
    };
    let ready = match services {
        Ok(services) => match services.health.ping().await {
            Ok(()) => Ok(services.threads.state().stuck_detail()),
            Err(error) => Err(format!("store: {}", state_of_store(&error))),
        },
        Err(reason) => Err(reason),
    };
    match ready {
        Ok(None) => Json(json!({ "status": "ready" })).into_response(),
        Ok(Some(detail)) => Json(json!({ "status": "ready", "detail": detail })).into_response(),
        Err(reason) => {
            let body = Json(json!({ "status": "unavailable", "reason": reason }));
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
    }
}

pub(super) async fn version(_: Plain) -> Json<Value> {
    Json(json!({ "name": "tidegate", "version": env!("CARGO_PKG_VERSION") }))
}
