//! `/healthz`, `/readyz` and `/v1/version`.

use crate::http_api::{Answer, Api};
use axum::http::Request;
use serde_json::json;
use std::sync::atomic::Ordering;
use tidegate::http::Readiness;

fn get(api: &Api, path: &str) -> Answer {
    api.raw(Request::builder().uri(path), "")
}

#[test]
fn readiness_follows_the_store() {
    let api = Api::new();
    assert_eq!(get(&api, "/readyz").expect_status(200), json!({"status": "ready"}));
    api.readiness.send_replace(Readiness::Unavailable("store: it is not open yet".to_owned()));
    assert_eq!(
        get(&api, "/readyz").expect_status(503),
        json!({"status": "unavailable", "reason": "store: it is not open yet"})
    );
    api.readiness.send_replace(Readiness::ShuttingDown);
    assert_eq!(get(&api, "/readyz").expect_status(503), json!({"status": "unavailable", "reason": "shutting down"}));
    assert_eq!(get(&api, "/healthz").expect_status(200), json!({"status": "ok"}));
}

#[test]
fn the_daemon_is_not_ready_while_the_store_does_not_answer() {
    let api = Api::new();
    api.health.is_down.store(true, Ordering::Relaxed);
    assert_eq!(get(&api, "/readyz").expect_status(503), json!({"status": "unavailable", "reason": "store: no answer"}));
    assert_eq!(get(&api, "/healthz").expect_status(200), json!({"status": "ok"}));
}

#[test]
fn the_store_is_pinged_at_most_once_a_second() {
    let api = Api::new();
    for _ in 0..50 {
        get(&api, "/readyz").expect_status(200);
    }
    let pings = *api.health.pings.lock().unwrap();
    assert!((1..50).contains(&pings), "{pings}");
}

#[test]
fn the_version_route_returns_the_version_of_the_program() {
    let api = Api::new();
    assert_eq!(
        api.get("/v1/version").expect_status(200),
        json!({"name": "tidegate", "version": env!("CARGO_PKG_VERSION")})
    );
}
