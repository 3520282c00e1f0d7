//! `/healthz`, `/readyz` and `/v1/version`.

use crate::http_api::{Answer, Api};
use axum::http::Request;
use serde_json::json;
use std::sync::atomic::Ordering;
use tidegate::http::Readiness;
use tidegate_core::AppName;

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
fn stuck_script_threads_are_a_detail_of_a_ready_daemon() {
    let api = Api::new();
    let stuck = [("orders", 2), ("shop", 1)].map(|(app, threads)| (AppName::new(app).unwrap(), threads));
    api.threads.0.lock().unwrap().stuck = stuck.into();
    let detail = "3 script threads of 2 apps are stuck in built-in functions; the metric tidegate_script_threads_stuck names the apps";
    assert_eq!(get(&api, "/readyz").expect_status(200), json!({"status": "ready", "detail": detail}));
    let line = |api: &Api, app: &str| {
        let metrics = api.get("/metrics").text;
        let name = format!("tidegate_script_threads_stuck{{app=\"{app}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&name).map(str::to_owned))
    };
    assert_eq!((line(&api, "orders").as_deref(), line(&api, "shop").as_deref()), (Some("2"), Some("1")));
    api.threads.0.lock().unwrap().stuck.clear();
    assert_eq!(get(&api, "/readyz").expect_status(200), json!({"status": "ready"}));
    assert_eq!(line(&api, "orders").as_deref(), Some("0"));
}

#[test]
fn an_execution_that_waits_for_a_thread_does_not_run() {
    let api = Api::new();
    api.threads.0.lock().unwrap().waiting = 3;
    let gate = api.get("/v1/gate").expect_status(200);
    assert_eq!((&gate["running"], &gate["waiting_for_thread"]), (&json!(0), &json!(3)));
    assert!(api.get("/metrics").text.contains("\ntidegate_executions_waiting 3\n"));
}

#[test]
fn the_daemon_is_not_ready_while_the_store_does_not_answer() {
    let api = Api::new();
    api.health.is_down.store(true, Ordering::Relaxed);
    let reason = "store: the store does not answer or refuses writes; the log of the daemon has the reason";
    assert_eq!(get(&api, "/readyz").expect_status(503), json!({"status": "unavailable", "reason": reason}));
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
