//! Fairness between triggers.
//!
//! Triggers with large and slow backlogs delay no other trigger, a paused trigger waits, and a
//! trigger with a concurrency limit stays within it.

use crate::world::{App, MachineLock, StoreKind, TESTBED, TIDEGATE, World, client, event, on, wait_for};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const BACKLOG: usize = 100_000;
const EVENTS_PER_REQUEST: usize = 1_000;
const PROBES: usize = 15;
pub(super) const DELAY_MAX_MS: f64 = 300.0;

/// Stores the time of its event, by the clock of the store, and the start of its execution, by the
/// clock of the machine. Both are the same clock here.
pub(super) const PROBE: &str = "export default async function (event, ctx) {
    const started = Date.now();
    await ctx.kv.set('starts', event.id, { emitted: event.time, started });
}";

/// Runs for 20 ms and stores its start and its end.
const WORKER: &str = "export default async function (event, ctx) {
    const from = Date.now();
    while (Date.now() - from < 20) {}
    await ctx.kv.set('spans', event.id, { from, to: Date.now() });
}";

#[test]
fn a_backlog_delays_no_other_trigger_on_sqlite() {
    a_backlog_delays_no_other_trigger(StoreKind::Sqlite);
}

#[test]
fn a_backlog_delays_no_other_trigger_on_postgres() {
    a_backlog_delays_no_other_trigger(StoreKind::Postgres);
}

fn a_backlog_delays_no_other_trigger(kind: StoreKind) {
    let _lock = MachineLock::exclusive();
    let world = World::new(kind);
    let daemon = world.daemon("testbed", TESTBED, &[]);
    let app = App::new(client(&daemon), "fair");
    app.deploy(
        &[("probe", PROBE)],
        &[
            on("slow", "slow", json!({"native": "sleep_200ms"}), json!({})),
            on("probe", "probe", json!({"script": "probe"}), json!({})),
        ],
    );
    // The trigger is paused while its backlog is loaded, so that the whole backlog waits when the
    // measurement begins.
    app.switch("slow", "pause");
    let batch = vec![event("slow", json!({"padding": "x".repeat(100)})); EVENTS_PER_REQUEST];
    for _ in 0..BACKLOG / EVENTS_PER_REQUEST {
        app.emit(&batch);
    }
    app.switch("slow", "resume");
    wait_for("the first claim of the backlog", Duration::from_secs(10), || (leased(&app, "slow") > 0).then_some(()));

    for _ in 0..PROBES {
        app.emit(&[event("probe", Value::Null)]);
        std::thread::sleep(Duration::from_secs(1));
    }
    let starts = wait_for("the last probe", Duration::from_secs(10), || {
        Some(app.entries("starts")).filter(|starts| starts.len() >= PROBES)
    });
    assert_eq!(starts.len(), PROBES);
    let delays: Vec<f64> = starts.iter().map(|(_, probe)| delay_ms(probe)).collect();
    println!("from emit to start under a backlog, in ms: {delays:.1?}");
    assert!(delays.iter().all(|&delay| delay <= DELAY_MAX_MS), "{delays:.1?}");
    let waiting = app.client.get(&app.path("/deliveries?trigger=slow&state=ready&limit=1")).ok();
    assert_ne!(waiting["deliveries"], json!([]), "the backlog lasted until the end");
}

#[test]
fn slow_triggers_delay_no_other_trigger() {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let _lock = MachineLock::exclusive();
        let world = World::new(kind);
        let daemon = world.daemon("testbed", TESTBED, &[]);
        let app = App::new(client(&daemon), "slow");
        let slow: Vec<String> = (0..8).map(|number| format!("slow-{number}")).collect();
        let triggers = slow.iter().map(|name| on(name, name, json!({"native": "sleep_5s"}), json!({})));
        let probe = on("probe", "probe", json!({"script": "probe"}), json!({}));
        app.deploy(&[("probe", PROBE)], &triggers.chain([probe]).collect::<Vec<_>>());
        // Two of the triggers could use all permits alone. Later the others join them.
        for busy in [&slow[..2], &slow[2..]] {
            for name in busy {
                app.emit(&vec![event(name, Value::Null); 200]);
            }
            wait_for("the slow triggers to run", Duration::from_secs(10), || {
                busy.iter().all(|name| leased(&app, name) > 0).then_some(())
            });
            // Triggers that just began may use the reserve, until the first handlers end after 5 s.
            std::thread::sleep(Duration::from_secs(if busy.len() > 2 { 6 } else { 0 }));
            for _ in 0..5 {
                app.emit(&[event("probe", Value::Null)]);
                std::thread::sleep(Duration::from_millis(400));
            }
        }
        let starts = wait_for("the last probe", Duration::from_secs(10), || {
            Some(app.entries("starts")).filter(|starts| starts.len() >= 10)
        });
        let delays: Vec<f64> = starts.iter().map(|(_, probe)| delay_ms(probe)).collect();
        println!("from emit to start beside slow triggers, in ms: {delays:.1?}");
        assert!(delays.iter().all(|&delay| delay <= DELAY_MAX_MS), "{delays:.1?}");
    }
}

#[test]
fn a_paused_trigger_waits_and_resumes() {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let _lock = MachineLock::shared();
        let world = World::new(kind);
        let daemon = world.daemon("testbed", TESTBED, &[]);
        let app = App::new(client(&daemon), "paused");
        app.deploy(
            &[("probe", PROBE)],
            &[
                on("held", "held", json!({"native": "noop"}), json!({})),
                on("probe", "probe", json!({"script": "probe"}), json!({})),
            ],
        );
        app.switch("held", "pause");
        app.emit(&vec![event("held", Value::Null); 20]);
        // Ten probes give the dispatcher ten occasions to claim rows of the paused trigger.
        for count in 1..=10 {
            app.emit(&[event("probe", Value::Null)]);
            wait_for("a probe", Duration::from_secs(10), || (app.entries("starts").len() == count).then_some(()));
        }
        let held = app.deliveries("held");
        assert_eq!(held.len(), 20);
        assert!(held.iter().all(|row| row["state"] == "ready" && row["attempt"] == 0), "{held:?}");

        app.switch("held", "resume");
        wait_for("the held rows to run", Duration::from_secs(10), || app.is_drained().then_some(()));
        assert_eq!(app.dead_letters(), Vec::<Value>::new());
    }
}

#[test]
fn a_limit_holds_over_two_daemons_on_postgres() {
    let _lock = MachineLock::shared();
    let world = World::new(StoreKind::Postgres);
    let daemons = ["a", "b"].map(|name| world.daemon(name, TIDEGATE, &[]));
    let apps = daemons.each_ref().map(|daemon| App::new(client(daemon), "limited"));
    let trigger = on("work", "worker", json!({"script": "worker"}), json!({"max_concurrency": 2}));
    apps[0].deploy(&[("worker", WORKER)], &[trigger]);

    const EVENTS: usize = 200;
    for (number, app) in (0..EVENTS / 10).zip(apps.iter().cycle()) {
        app.emit(&vec![event("work", json!(number)); 10]);
    }
    let start = Instant::now();
    let mut leased_max = 0;
    while !apps[0].is_drained() {
        leased_max = leased_max.max(leased(&apps[1], "worker"));
        assert!(start.elapsed() < Duration::from_secs(60), "{EVENTS} executions of 20 ms, two at a time");
    }
    let spans = apps[0].entries("spans");
    assert_eq!(spans.len(), EVENTS);
    assert!(leased_max <= 2, "{leased_max} rows were leased at once");
    assert_eq!(overlap_max(&spans), 2, "two executions run at once, never more");
}

#[test]
fn a_limit_holds_on_sqlite() {
    let _lock = MachineLock::shared();
    let world = World::new(StoreKind::Sqlite);
    let daemon = world.daemon("a", TIDEGATE, &[]);
    let app = App::new(client(&daemon), "limited");
    let trigger = on("work", "worker", json!({"script": "worker"}), json!({"max_concurrency": 2}));
    app.deploy(&[("worker", WORKER)], &[trigger]);
    app.emit(&vec![event("work", Value::Null); 100]);
    wait_for("the work to be done", Duration::from_secs(60), || app.is_drained().then_some(()));
    let spans = app.entries("spans");
    assert_eq!(spans.len(), 100);
    assert_eq!(overlap_max(&spans), 2, "two executions run at once, never more");
}

fn leased(app: &App, trigger: &str) -> usize {
    let page = app.client.get(&app.path(&format!("/deliveries?trigger={trigger}&state=leased&limit=100"))).ok();
    page["deliveries"].as_array().map_or(0, Vec::len)
}

/// The most spans that overlap at one time. A span that begins in the millisecond in which another
/// span ends does not overlap it.
fn overlap_max(spans: &[(String, Value)]) -> i32 {
    let at = |span: &Value, field: &str| span[field].as_i64().expect("a time is a whole number of milliseconds");
    let mut changes: Vec<(i64, i32)> =
        spans.iter().flat_map(|(_, span)| [(at(span, "from"), 1), (at(span, "to"), -1)]).collect();
    changes.sort();
    let running = changes.iter().scan(0, |running, (_, change)| {
        *running += change;
        Some(*running)
    });
    running.max().unwrap_or(0)
}

/// The time from the event to the start of its execution.
pub(super) fn delay_ms(probe: &Value) -> f64 {
    let emitted = probe["emitted"].as_str().and_then(tidegate_core::Timestamp::from_rfc3339).expect("RFC 3339");
    let started = probe["started"].as_f64().expect("milliseconds since 1970");
    started - emitted.0 as f64 / 1_000.0
}
