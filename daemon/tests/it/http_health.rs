//! Whether the process lives, and whether it can work.

use crate::http_api::{Answer, Api};
use axum::http::Request;
use serde_json::json;
use std::sync::atomic::Ordering;
use tidegate::http::Readiness;

fn ask(api: &Api, path: &str) -> Answer {
    api.raw(Request::builder().uri(path), "")
}

#[test]
fn readiness_follows_the_store() {
    let api = Api::new();
    assert_eq!(ask(&api, "/readyz").is(200), json!({"status": "ready"}));
    api.readiness.send_replace(Readiness::Unavailable("store: it is not open yet".to_owned()));
    assert_eq!(ask(&api, "/readyz").is(503), json!({"status": "unavailable", "reason": "store: it is not open yet"}));
    api.readiness.send_replace(Readiness::ShuttingDown);
    assert_eq!(ask(&api, "/readyz").is(503), json!({"status": "unavailable", "reason": "shutting down"}));
    assert_eq!(ask(&api, "/healthz").is(200), json!({"status": "ok"}));
}

#[test]
fn a_store_that_does_not_answer_is_not_ready() {
    let api = Api::new();
    api.health.is_down.store(true, Ordering::Relaxed);
    assert_eq!(ask(&api, "/readyz").is(503), json!({"status": "unavailable", "reason": "store: nobody there"}));
    assert_eq!(ask(&api, "/healthz").is(200), json!({"status": "ok"}));
}

#[test]
fn the_store_is_asked_once_a_second_at_most() {
    let api = Api::new();
    for _ in 0..50 {
        ask(&api, "/readyz").is(200);
    }
    let asked = *api.health.asked.lock().unwrap();
    assert!((1..50).contains(&asked), "{asked}");
}

#[test]
fn the_version_is_the_programs() {
    let api = Api::new();
    assert_eq!(api.get("/v1/version").is(200), json!({"name": "tidegate", "version": env!("CARGO_PKG_VERSION")}));
}
