//! Threads that run scripts: stuck ones harm one app only, and their number follows the gate.

use crate::metrics::value;
use crate::world::{App, MachineLock, StoreKind, TIDEGATE, World, client, event, on, wait_for};
use serde_json::{Value, json};
use std::time::Duration;
use tidegate_core::{Micros, Timestamp};

/// Runs for hours in a built-in function, which cannot be interrupted.
const STUCK: &str = "export default () => 'a'.repeat(1 << 24).indexOf('a'.repeat(1 << 20) + 'b')";
const RECORDER: &str = "export default async (event, ctx) => { await ctx.kv.set('runs', event.id, 1) }";
/// Sleeps for 800 ms and stores its start and its end.
const SLEEPER: &str = "export default async (event, ctx) => {
    const from = Date.now();
    await ctx.sleep(800);
    await ctx.kv.set('spans', event.id, { from, to: Date.now() });
}";
/// Computes for 300 ms and fails.
const FAILER: &str = "export default () => {
    for (const end = Date.now() + 300; Date.now() < end;);
    throw new Error('on purpose');
}";
const TIMEOUT: Duration = Duration::from_secs(60);

#[test]
fn scripts_that_are_stuck_stop_their_own_app_only() {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let _lock = MachineLock::exclusive();
        let world = World::new(kind);
        let daemon = world.daemon("stuck", TIDEGATE, &[("TIDEGATE_SCRIPTS_APP_COMPUTING_MAX", "2")]);
        let [bad, good] = ["bad", "good"].map(|name| App::new(client(&daemon), name));
        let retry = json!({"max_attempts": 1});
        bad.deploy(
            &[("stuck", STUCK), ("innocent", RECORDER)],
            &[
                on("stuck", "stuck", json!({"script": "stuck"}), json!({"timeout_ms": 200, "retry": retry})),
                on("innocent", "innocent", json!({"script": "innocent"}), json!({"retry": retry})),
            ],
        );
        good.deploy(
            &[("recorder", RECORDER)],
            &[on("go", "recorder", json!({"script": "recorder"}), json!({"retry": retry}))],
        );

        bad.emit(&vec![event("stuck", Value::Null); 200]);
        let is_stuck = || bad.client.get("/readyz").json()["detail"].as_str().map(str::to_owned);
        let detail = wait_for("the first stuck threads", TIMEOUT, is_stuck);
        assert!(detail.contains("stuck in built-in functions"), "{detail}");
        let refused = wait_for("a refused call", TIMEOUT, || {
            let answer = bad.client.send("POST", &bad.path("/invoke/innocent"), &[], Some(b"1")).unwrap();
            (answer.status == 503).then_some(answer)
        });
        assert_eq!(refused.header("tidegate-code"), Some("overloaded"), "{refused:?}");
        assert!(refused.header("retry-after").is_some() && refused.text.contains("did not start"), "{refused:?}");
        bad.emit(&vec![event("innocent", Value::Null); 20]);

        good.emit(&vec![event("go", Value::Null); 100]);
        wait_for("the other app's deliveries", TIMEOUT, || (good.entries("runs").len() == 100).then_some(()));
        wait_for("the other app's rows", TIMEOUT, || good.is_drained().then_some(()));
        assert_eq!(good.dead_letters(), Vec::<Value>::new());

        // Each script that got a thread used up its only attempt. Those without a thread wait.
        let letters = bad.dead_letters();
        let dead_letters = letters.len();
        assert!((2..=10).contains(&dead_letters), "{dead_letters} scripts got a thread");
        assert!(letters.iter().all(|letter| letter["trigger"] == "stuck"), "{letters:?}");
        let waiting = bad.deliveries("innocent");
        assert_eq!(waiting.len(), 20);
        assert!(waiting.iter().all(|row| row["state"] == "leased" || row["attempt"] == 0), "{waiting:?}");
    }
}

#[test]
fn a_raised_gate_runs_more_scripts_at_once() {
    let _lock = MachineLock::exclusive();
    let world = World::new(StoreKind::Sqlite);
    let settings = [("TIDEGATE_GATE_PERMITS", "2"), ("TIDEGATE_GATE_SYNC_RESERVE", "0")];
    let daemon = world.daemon("gate", TIDEGATE, &settings);
    let app = App::new(client(&daemon), "gate");
    let trigger = on("go", "sleeper", json!({"script": "sleeper"}), json!({"timeout_ms": 3_000}));
    app.deploy(&[("sleeper", SLEEPER)], &[trigger]);
    let change = Some(&br#"{"permits": 12}"#[..]);
    app.client.send("PATCH", "/v1/gate", &[("content-type", "application/json")], change).unwrap().ok();
    app.emit(&vec![event("go", Value::Null); 10]);
    let spans = wait_for("all scripts", TIMEOUT, || Some(app.entries("spans")).filter(|spans| spans.len() == 10));
    let time = |span: &Value, field: &str| span[field].as_i64().unwrap();
    let first_end = spans.iter().map(|(_, span)| time(span, "to")).min().unwrap();
    let at_once = spans.iter().filter(|(_, span)| time(span, "from") < first_end).count();
    assert!(at_once >= 8, "{at_once} scripts ran at once with 12 permits");
    wait_for("all settlements", TIMEOUT, || app.is_drained().then_some(()));
    let metrics = app.client.get("/metrics").text;
    assert!(!metrics.contains("ending=\"retry\""), "no script failed");
}

/// All executions get a permit at once, and most of them wait for a thread.
#[test]
fn an_attempt_lasts_from_the_begin_of_its_handler_to_its_end() {
    const EVENTS: usize = 12;
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let _lock = MachineLock::exclusive();
        let world = World::new(kind);
        let settings = [("TIDEGATE_SCRIPTS_APP_COMPUTING_MAX", "1"), ("TIDEGATE_DISPATCHER_QUEUE_WAIT_MS_MAX", "5000")];
        let daemon = world.daemon("waits", TIDEGATE, &settings);
        let app = App::new(client(&daemon), "waits");
        let more = json!({"timeout_ms": 2_000, "retry": {"max_attempts": 1}});
        app.deploy(&[("failer", FAILER)], &[on("go", "failer", json!({"script": "failer"}), more)]);
        app.emit(&vec![event("go", Value::Null); EVENTS]);
        let letters = wait_for("all letters", TIMEOUT, || Some(app.dead_letters()).filter(|all| all.len() == EVENTS));

        let attempts: Vec<&Value> = letters.iter().map(|letter| &letter["failed"][0]).collect();
        assert!(attempts.iter().all(|attempt| attempt["error"] == "script_error"), "{attempts:?}");
        let lengths: Vec<f64> = attempts.iter().map(|attempt| attempt["duration_ms"].as_f64().unwrap()).collect();
        assert!(lengths.iter().all(|length| (290.0..900.0).contains(length)), "{lengths:?}");
        let started = |attempt: &&Value| Timestamp::from_rfc3339(attempt["started_at"].as_str().unwrap()).unwrap();
        let starts: Vec<Timestamp> = attempts.iter().map(started).collect();
        let span = starts.iter().max().unwrap().since(*starts.iter().min().unwrap());
        assert!(span > Micros::from_millis(800), "the handlers began within {span:?}");
        let metrics = app.client.get("/metrics").text;
        let seconds = |name: &str| value(&metrics, &format!("tidegate_{name}_seconds_sum"), &["failer"]);
        let (waited, ran) = (seconds("start_wait"), seconds("execution"));
        assert!((lengths.iter().sum::<f64>() / 1e3 - ran).abs() < 0.01, "{ran} s");
        assert!(waited > 4.0, "two of twelve ran at once, so the others waited for 9 s in all: {waited} s");
    }
}
