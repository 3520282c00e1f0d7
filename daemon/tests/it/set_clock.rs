//! The clock of the machine is set ahead and then back by an hour, beside a running daemon. On
//! SQLite it is the clock of the daemon that counts, on Postgres the clock of the server.

use crate::world::{App, MachineLock, StoreKind, TESTBED, World, client, event, on, wait_for};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use testkit::{Daemon, ShiftedClock};

/// A discovery of Postgres moves due times by at most 10 s too little.
const TIMEOUT: Duration = Duration::from_secs(20);
const HOUR: i64 = 3_600;
const TICK: &str =
    r#"export default async (event, ctx) => { ctx.kv.set("ticks", event.id, event.data.scheduled_at); }"#;

#[test]
fn work_goes_on_when_the_clock_is_set_on_sqlite() {
    work_goes_on_when_the_clock_is_set(StoreKind::Sqlite);
}

#[test]
fn work_goes_on_when_the_clock_is_set_on_postgres() {
    work_goes_on_when_the_clock_is_set(StoreKind::Postgres);
}

fn work_goes_on_when_the_clock_is_set(kind: StoreKind) {
    let _lock = MachineLock::shared();
    let folder = tempfile::TempDir::new().unwrap();
    let clock = ShiftedClock::create(folder.path()).unwrap();
    let (world, env) = match kind {
        StoreKind::Sqlite => (World::new(kind), clock.env()),
        StoreKind::Postgres => (World::on_own_server_with(clock.env()), Vec::new()),
    };
    let env: Vec<_> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let daemon = world.daemon("timeless", TESTBED, &env);
    let app = App::new(client(&daemon), "timeless");
    let retry = json!({"max_attempts": 8, "backoff": "constant", "base_ms": 500, "max_ms": 500});
    let cron = json!({"name": "tick", "match": {"source": "cron", "expression": "* * * * * *"}, "handler": {"script": "tick"}});
    app.deploy(&[("tick", TICK)], &[on("fail", "fail", json!({"native": "fail"}), json!({"retry": retry})), cron]);
    wait_for_ticks(&app, "before the clock is set");

    for (nth, seconds) in [HOUR, -HOUR, -HOUR, HOUR].into_iter().enumerate() {
        let step = format!("after step {nth} by {seconds} s");
        fail_beside(&app, &step, || clock.step(seconds).unwrap());
        wait_for_ticks(&app, &step);
        fail_beside(&app, &step, || ());
    }
    check_warnings(kind, &daemon);
}

/// Emits an event and calls `act` after its first attempt. Waits until it is a dead letter.
fn fail_beside(app: &App, time: &str, act: impl FnOnce()) {
    let letters = app.dead_letters().len();
    app.emit(&[event("fail", Value::Null)]);
    let has_failed = |row: &Value| row["failed"].as_array().is_some_and(|failed| !failed.is_empty());
    wait_for(&format!("the first attempt {time}"), TIMEOUT, || {
        app.deliveries("fail").iter().any(has_failed).then_some(())
    });
    act();
    wait_for(&format!("the last attempt {time}"), TIMEOUT, || (app.dead_letters().len() > letters).then_some(()));
}

fn ticks(app: &App) -> BTreeSet<String> {
    app.entries("ticks").into_iter().map(|(key, _)| key).collect()
}

/// Waits until the schedule has ticked twice more.
fn wait_for_ticks(app: &App, time: &str) {
    let before = ticks(app);
    wait_for(&format!("two ticks {time}"), TIMEOUT, || (ticks(app).difference(&before).count() >= 2).then_some(()));
}

fn check_warnings(kind: StoreKind, daemon: &Daemon) {
    let log = daemon.log();
    let warnings = log.lines().filter(|line| line.contains("WARN") && line.contains("clock")).count();
    assert_eq!(warnings, usize::from(kind == StoreKind::Sqlite), "{log}");
}
