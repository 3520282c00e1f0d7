//! The log of `serve`: a line for each delivery, up to a hundred in a second.

use crate::world::{App, MachineLock, StoreKind, TESTBED, World, client, event, on, wait_for};
use serde_json::{Value, json};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(20);

#[test]
fn each_delivery_is_a_line_at_info_up_to_a_bound() {
    const EVENTS: usize = 1_000;
    let _lock = MachineLock::shared();
    let world = World::new(StoreKind::Sqlite);
    let daemon = world.daemon("lines", TESTBED, &[("TIDEGATE_LOG_FORMAT", "json")]);
    let app = App::new(client(&daemon), "lines");
    let retry = json!({"retry": {"max_attempts": 1}});
    app.deploy(
        &[],
        &[on("go", "go", json!({"native": "noop"}), json!({})), on("fail", "fail", json!({"native": "fail"}), retry)],
    );
    app.emit(&[event("go", Value::Null), event("fail", Value::Null)]);
    let endings = wait_for("the two lines", TIMEOUT, || Some(settled(&daemon.log())).filter(|all| all.len() == 2));
    for (trigger, level, ending) in [("go", "INFO", "done"), ("fail", "WARN", "dead")] {
        let line = endings.iter().find(|line| line["trigger"] == trigger).expect("each trigger has a line");
        assert_eq!((&line["level"], &line["ending"]), (&json!(level), &json!(ending)), "{line}");
        assert!(line["duration_ms"].as_f64().is_some_and(|ms| ms >= 0.0), "{line}");
        for field in ["app", "delivery.id", "delivery.attempt", "event.id", "event.subject"] {
            assert!(!line[field].is_null(), "{field} is missing in {line}");
        }
    }

    app.emit(&vec![event("go", Value::Null); EVENTS]);
    wait_for("the deliveries", TIMEOUT, || app.is_drained().then_some(()));
    std::thread::sleep(Duration::from_millis(1_100));
    app.emit(&[event("go", Value::Null)]);
    let omitted = wait_for("the line about others", TIMEOUT, || {
        let lines = json_lines(&daemon.log());
        let counts: Vec<usize> = lines.iter().filter_map(|line| line["omitted"].as_u64()).map(|n| n as usize).collect();
        (settled(&daemon.log()).len() + counts.iter().sum::<usize>() >= EVENTS + 3).then_some(counts)
    });
    assert!(!omitted.is_empty(), "some of {EVENTS} lines are omitted");
}

fn json_lines(log: &str) -> Vec<Value> {
    log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn settled(log: &str) -> Vec<Value> {
    json_lines(log).into_iter().filter(|line| !line["ending"].is_null()).collect()
}
