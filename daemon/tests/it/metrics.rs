//! Metrics of the real program. When all deliveries have ended, they equal the number of events.

use crate::world::{App, MachineLock, StoreKind, TESTBED, World, client, event, on, wait_for};
use serde_json::{Value, json};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(20);

/// The sum of a metric over all lines that contain each of `labels`.
pub(super) fn value(text: &str, name: &str, labels: &[&str]) -> f64 {
    let lines = text.lines().filter(|line| line.starts_with(name) && !line.starts_with('#'));
    let of_name = lines.filter(|line| matches!(line.as_bytes().get(name.len()), Some(b' ' | b'{')));
    let matching = of_name.filter(|line| labels.iter().all(|label| line.contains(label)));
    matching.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

#[test]
fn metrics_count_each_delivery_and_each_execution() {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let _lock = MachineLock::shared();
        let world = World::new(kind);
        let daemon = world.daemon("metrics", TESTBED, &[("TIDEGATE_GATE_PERMITS", "12")]);
        let app = App::new(client(&daemon), "metrics");
        let retry = json!({"retry": {"max_attempts": 3, "base_ms": 10, "max_ms": 10}});
        let rule = json!({"source": "http", "method": "GET", "path": "/"});
        app.deploy(
            &[],
            &[
                on("good", "good", json!({"native": "noop"}), json!({})),
                on("bad", "bad", json!({"native": "fail"}), retry),
                on("held", "held", json!({"native": "noop"}), json!({})),
                json!({"name": "page", "match": rule, "handler": {"native": "answer_204"}}),
            ],
        );
        app.switch("held", "pause");
        app.emit(&[vec![event("good", Value::Null); 30], vec![event("bad", Value::Null); 4]].concat());
        app.emit(&vec![event("held", Value::Null); 7]);
        for _ in 0..5 {
            assert_eq!(app.client.get("/http/metrics/").status, 204);
        }
        let text = wait_for("all deliveries to end", TIMEOUT, || {
            let text = app.client.get("/metrics").text;
            let ended = value(&text, "tidegate_deliveries_settled_total", &["ending=\"d"]);
            (ended >= 34.0 && value(&text, "tidegate_deliveries_settled_total", &["replied"]) >= 5.0).then_some(text)
        });
        for (name, labels, expected) in [
            ("tidegate_executions_started_total", &["good"][..], 30.0),
            ("tidegate_executions_started_total", &["bad"], 12.0),
            ("tidegate_deliveries_settled_total", &["good", "ending=\"done\""], 30.0),
            ("tidegate_deliveries_settled_total", &["bad", "ending=\"retry\""], 8.0),
            ("tidegate_deliveries_settled_total", &["page", "ending=\"replied\""], 5.0),
            ("tidegate_dead_letters_total", &["app=\"metrics\"", "bad", "attempts_exhausted"], 4.0),
            ("tidegate_delivery_wait_seconds_count", &["good"], 30.0),
            ("tidegate_execution_seconds_count", &["page"], 5.0),
            ("tidegate_start_wait_seconds_count", &["page"], 5.0),
            ("tidegate_queue_depth", &["held"], 7.0),
            ("tidegate_gate_permits", &[], 12.0),
            ("tidegate_gate_sync_reserve", &[], 8.0),
            ("tidegate_gate_async_reserve", &[], 1.0),
            ("tidegate_executions_running", &[], 0.0),
            ("tidegate_deliveries_queued", &[], 0.0),
            ("tidegate_store_up", &[], 1.0),
            ("tidegate_store_requests_total", &["failed"], 0.0),
            ("tidegate_build_info", &["version=\"0.1.0\""], 1.0),
        ] {
            assert_eq!(value(&text, name, labels), expected, "{name} {labels:?}\n{text}");
        }
        assert!(value(&text, "tidegate_queue_oldest_due_seconds", &["held"]) > 0.0, "{text}");
        assert!(value(&text, "tidegate_store_requests_total", &["begin_calls", "ok"]) >= 1.0, "{text}");
        assert!(value(&text, "tidegate_store_request_seconds_count", &["exchange"]) >= 1.0, "{text}");
        assert_eq!(app.client.with_token("tg_unknown").get("/metrics").status, 401);

        app.switch("held", "resume");
        wait_for("an empty queue in the metrics", TIMEOUT, || {
            let text = app.client.get("/metrics").text;
            let is_empty = text.contains("tidegate_queue_depth{app=\"metrics\",trigger=\"held\"} 0");
            (is_empty && value(&text, "tidegate_deliveries_settled_total", &["held"]) == 7.0).then_some(())
        });
    }
}
