//! Executions with large effects, and effects that the database refuses, delay no other trigger.

use crate::world::{App, MachineLock, StoreKind, TIDEGATE, World, client, event, on, wait_for};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::Daemon;

const TIMEOUT: Duration = Duration::from_secs(60);
/// The longest time until the other trigger is done. It takes some milliseconds; the rest is for a
/// busy machine.
const OTHER_MAX: Duration = Duration::from_secs(10);

/// Stages 400 values of 256 KiB.
const FAT: &str = r#"export default async (e, ctx) => {
    const row = "x".repeat(262100);
    for (let i = 0; i < 400; i++) await ctx.kv.set("rows", e.subject + "-" + i, row);
}"#;
/// Stages 24 values of 256 KiB, which is as much as one execution may stage by default.
const LARGE: &str = r#"export default async (e, ctx) => {
    const row = "x".repeat(262100);
    for (let i = 0; i < 24; i++) await ctx.kv.set("rows", e.subject + "-" + i, row);
}"#;
const TRIVIAL: &str = r#"export default async (e, ctx) => { await ctx.kv.set("done", e.subject, 1); }"#;

#[test]
fn fat_effects_fail_and_delay_no_other_trigger_on_sqlite() {
    fat_effects_fail_and_delay_no_other_trigger(StoreKind::Sqlite);
}

#[test]
fn fat_effects_fail_and_delay_no_other_trigger_on_postgres() {
    fat_effects_fail_and_delay_no_other_trigger(StoreKind::Postgres);
}

#[test]
fn large_effects_are_applied_one_after_the_other_and_delay_no_other_trigger_on_sqlite() {
    large_effects_are_applied(StoreKind::Sqlite);
}

#[test]
fn large_effects_are_applied_one_after_the_other_and_delay_no_other_trigger_on_postgres() {
    large_effects_are_applied(StoreKind::Postgres);
}

fn subject(event_type: &str, subject: &str) -> Value {
    let mut event = event(event_type, json!(null));
    event["subject"] = json!(subject);
    event
}

/// The largest memory that the process has used, in MiB.
fn peak_mib(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.id())).expect("the process runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux reports the peak");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number of KiB") / 1_024
}

/// Emits one event for the trivial trigger. Returns the time until its effect is applied.
fn time_of_other(app: &App, subject_of_other: &str) -> Duration {
    let start = Instant::now();
    app.emit(&[subject("trivial", subject_of_other)]);
    let path = app.path(&format!("/kv/done/{subject_of_other}"));
    wait_for("the other trigger", OTHER_MAX, || {
        app.client.send("GET", &path, &[], None).ok().filter(|answer| answer.status == 200)
    });
    start.elapsed()
}

fn deploy(world: &World, handler: &str, settings: &[(&str, &str)]) -> (Daemon, App) {
    let daemon = world.daemon("a", TIDEGATE, settings);
    let app = App::new(client(&daemon), "fat");
    let more = json!({"timeout_ms": 60_000});
    let triggers = [
        on("fat", "fat", json!({"script": "fat"}), more),
        on("trivial", "trivial", json!({"script": "trivial"}), json!({})),
    ];
    app.deploy(&[("fat", handler), ("trivial", TRIVIAL)], &triggers);
    (daemon, app)
}

fn fat_effects_fail_and_delay_no_other_trigger(kind: StoreKind) {
    let _lock = MachineLock::shared();
    let world = World::new(kind);
    let (mut daemon, app) = deploy(&world, FAT, &[]);
    app.emit(&(0..4).map(|n| subject("fat", &n.to_string())).collect::<Vec<_>>());
    let mut took = vec![time_of_other(&app, "first")];
    let letters = wait_for("four dead letters", TIMEOUT, || Some(app.dead_letters()).filter(|all| all.len() == 4));
    took.push(time_of_other(&app, "second"));
    for letter in &letters {
        let error = &letter["failed"][0]["error"];
        assert!(matches!(error.as_str(), Some("payload_too_large" | "resource_limit")), "{letter:#}");
        assert_eq!(letter["reason"], "permanent");
    }
    assert_eq!(app.entries("rows"), []);
    let peak = peak_mib(&daemon);
    println!("{kind:?}: the other trigger took {took:?}, the peak was {peak} MiB");
    assert!(peak < 1_500, "{peak} MiB");
    let start = Instant::now();
    assert!(daemon.terminate().success());
    assert!(start.elapsed() < Duration::from_secs(15));
}

fn large_effects_are_applied(kind: StoreKind) {
    let _lock = MachineLock::shared();
    let world = World::new(kind);
    let (mut daemon, app) = deploy(&world, LARGE, &[]);
    app.emit(&(0..8).map(|n| subject("fat", &n.to_string())).collect::<Vec<_>>());
    let took: Vec<Duration> = (0..3).map(|n| time_of_other(&app, &n.to_string())).collect();
    wait_for("eight executions", TIMEOUT, || app.is_drained().then_some(()));
    assert_eq!(app.dead_letters(), Vec::<Value>::new());
    let page = app.client.get(&app.path("/kv/rows?limit=1000")).ok();
    let entries = page["entries"].as_array().expect("a list").len();
    assert!((1..=16).contains(&entries) && page["cursor"].is_string(), "{entries} values in a page of 4 MiB");
    let peak = peak_mib(&daemon);
    println!("{kind:?}: the other trigger took {took:?}, the peak was {peak} MiB");
    assert!(peak < 1_500, "{peak} MiB");
    assert!(daemon.terminate().success());
}

#[test]
fn effects_that_the_database_refuses_become_a_dead_letter_alone() {
    let _lock = MachineLock::shared();
    let world = World::new(StoreKind::Postgres);
    let daemon = world.daemon("a", TIDEGATE, &[]);
    let app = App::new(client(&daemon), "guarded");
    app.deploy(&[("set", TRIVIAL)], &[on("set", "set", json!({"script": "set"}), json!({}))]);
    world.execute("alter table tidegate.kv add constraint no_bad check (key not like 'bad%')");
    let subjects = (0..200).map(|n| if n == 70 { "bad".to_owned() } else { format!("k{n}") });
    app.emit(&subjects.map(|key| subject("set", &key)).collect::<Vec<_>>());
    wait_for("all deliveries", TIMEOUT, || app.is_drained().then_some(()));
    let letters = app.dead_letters();
    assert_eq!(letters.len(), 1, "{letters:#?}");
    let failed = &letters[0]["failed"][0];
    assert_eq!((&letters[0]["event"]["subject"], &failed["error"]), (&json!("bad"), &json!("store_refused")));
    assert_eq!(app.entries("done").len(), 199);
}
