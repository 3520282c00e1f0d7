//! Threads that run scripts: stuck ones harm one app only, and their number follows the gate.

use crate::world::{App, MachineLock, StoreKind, TIDEGATE, World, client, event, on, wait_for};
use serde_json::{Value, json};
use std::time::Duration;

/// Runs for hours in a built-in function, which cannot be interrupted.
const STUCK: &str = "export default () => 'a'.repeat(1 << 24).indexOf('a'.repeat(1 << 20) + 'b')";
const RECORDER: &str = "export default async (event, ctx) => { await ctx.kv.set('runs', event.id, 1) }";
/// Sleeps for 800 ms and stores its start and its end.
const SLEEPER: &str = "export default async (event, ctx) => {
    const from = Date.now();
    await ctx.sleep(800);
    await ctx.kv.set('spans', event.id, { from, to: Date.now() });
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
