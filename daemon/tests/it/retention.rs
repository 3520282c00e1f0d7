//! Old records are removed by the daemon and by `tidegate prune`.

use crate::world::{App, MachineLock, StoreKind, TESTBED, World, client, event, on, tidegate, wait_for};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::{Daemon, ShiftedClock};

const TIMEOUT: Duration = Duration::from_secs(60);
const DAY: i64 = 24 * 3_600;
/// More than one batch.
const LETTERS: usize = 600;

/// Makes discarded letters and one open letter, sets the clock 31 days ahead, and calls `check`.
fn with_old_letters(interval_s: &str, check: impl FnOnce(&Daemon, &App)) {
    let _lock = MachineLock::shared();
    let folder = tempfile::TempDir::new().unwrap();
    let clock = ShiftedClock::create(folder.path()).unwrap();
    let world = World::new(StoreKind::Sqlite);
    let env = clock.env();
    let mut env: Vec<_> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    env.push(("TIDEGATE_RETENTION_INTERVAL_S", interval_s));
    let daemon = world.daemon("retention", TESTBED, &env);
    let app = App::new(client(&daemon), "retention");
    app.deploy(&[], &[on("work", "work", json!({"native": "fail"}), json!({"retry": {"max_attempts": 1}}))]);
    make_letters(&app, LETTERS);
    let all = json!({"all": true}).to_string();
    let discard = app.path("/dead-letters/discard");
    loop {
        let answer = app.client.send("POST", &discard, &[], Some(all.as_bytes())).expect("the daemon answers").ok();
        if answer["cursor"].is_null() {
            break;
        }
    }
    make_letters(&app, 1);
    assert_eq!(app.dead_letters().len(), LETTERS + 1);
    clock.step(31 * DAY).unwrap();
    check(&daemon, &app);
    assert!(letters_with(&app, "discarded").is_empty());
    assert_eq!(app.dead_letters().len(), 1, "the open letter stays");
    let removed = format!("tidegate_records_removed_total{{kind=\"discarded_letters\"}} {LETTERS}\n");
    assert!(app.client.get("/metrics").text.contains(&removed));
}

fn make_letters(app: &App, count: usize) {
    let before = app.dead_letters().len();
    let events: Vec<Value> = (0..count).map(|_| event("work", Value::Null)).collect();
    events.chunks(200).for_each(|chunk| _ = app.emit(chunk));
    wait_for("the dead letters", TIMEOUT, || (app.dead_letters().len() == before + count).then_some(()));
}

fn letters_with(app: &App, resolution: &str) -> Vec<Value> {
    app.dead_letters().into_iter().filter(|letter| letter["resolution"] == resolution).collect()
}

fn prune(daemon: &Daemon, args: &[&str]) -> Value {
    let output = tidegate(daemon, &[&["prune", "--json"], args].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the output is JSON")
}

#[test]
fn a_command_counts_and_removes_old_records() {
    with_old_letters("86400", |daemon, app| {
        let counted = prune(daemon, &["--dry-run"]);
        assert_eq!((&counted["records"]["discarded_letters"], &counted["more"]), (&json!(LETTERS), &json!(false)));
        assert!(counted["records"]["open_letters"].is_null(), "open letters are kept for ever: {counted}");
        assert_eq!(letters_with(app, "discarded").len(), LETTERS, "a dry run removes nothing");
        let removed = prune(daemon, &[]);
        assert_eq!((&removed["records"]["discarded_letters"], &removed["more"]), (&json!(LETTERS), &json!(false)));
    });
}

#[test]
fn a_daemon_removes_old_records() {
    with_old_letters("1", |_, app| {
        wait_for("the removal", TIMEOUT, || letters_with(app, "discarded").is_empty().then_some(()));
    });
}
