//! An event whose handler kills the process becomes a dead letter. Other triggers continue.

use crate::world::{App, MachineLock, StoreKind, TESTBED, World, client, event, on};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::Daemon;

/// Each attempt takes a start of the daemon and, on Postgres, the expiry of a lease.
const TIMEOUT: Duration = Duration::from_secs(60);
const SHORT_LEASE: (&str, &str) = ("TIDEGATE_DISPATCHER_LEASE_MS", "1000");

#[test]
fn a_crashing_event_becomes_a_dead_letter_on_sqlite() {
    a_crashing_event_becomes_a_dead_letter(StoreKind::Sqlite);
}

#[test]
fn a_crashing_event_becomes_a_dead_letter_on_postgres() {
    a_crashing_event_becomes_a_dead_letter(StoreKind::Postgres);
}

fn a_crashing_event_becomes_a_dead_letter(kind: StoreKind) {
    let _lock = MachineLock::shared();
    let world = World::new(kind);
    let mut daemon = world.daemon("testbed", TESTBED, &[SHORT_LEASE]);
    let app = App::new(client(&daemon), "poison");
    let retry = json!({"max_attempts": 3, "backoff": "constant", "base_ms": 1, "max_ms": 1});
    app.deploy(
        &[],
        &[
            on("poison", "crasher", json!({"native": "abort"}), json!({"retry": retry})),
            on("harmless", "bystander", json!({"native": "noop"}), json!({"retry": retry})),
        ],
    );

    let mut crashes = 0;
    poll_with_restarts(&mut daemon, &mut crashes, |daemon| emit(&App::new(client(daemon), "poison"), "poison"));
    let letter = poll_with_restarts(&mut daemon, &mut crashes, |_| dead_letters(&app).into_iter().flatten().next());

    assert_eq!(crashes, 3, "one crash for each attempt");
    assert_eq!(letter["trigger"], "crasher");
    assert_eq!(letter["reason"], "attempts_exhausted");
    assert_eq!(letter["attempts"], 3);
    assert_eq!(letter["event"]["type"], "poison");
    let failed = letter["failed"].as_array().expect("the failed attempts are a list");
    let failed: Vec<_> =
        failed.iter().map(|failed| (&failed["attempt"], &failed["error"], &failed["duration_ms"])).collect();
    let (lost, null) = (json!("lost"), Value::Null);
    assert_eq!(failed, [(&json!(1), &lost, &null), (&json!(2), &lost, &null), (&json!(3), &lost, &null)]);

    // No handler crashes from here on. The other trigger still works.
    app.emit(&[event("harmless", json!(null))]);
    crate::world::wait_for("the bystander's delivery", TIMEOUT, || app.is_drained().then_some(()));
    assert!(daemon.is_running());
    assert_eq!(app.dead_letters().len(), 1);
}

/// Repeats `poll` until it returns a value. Restarts the daemon whenever it is down.
fn poll_with_restarts<T>(daemon: &mut Daemon, crashes: &mut u32, mut poll: impl FnMut(&Daemon) -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if !daemon.is_running() {
            *crashes += 1;
            daemon.relaunch();
        }
        if let Some(found) = poll(daemon) {
            return found;
        }
        assert!(start.elapsed() < TIMEOUT, "timed out after {crashes} crashes\n{}", daemon.log());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Emits the event. `None` if no answer came or the restarted daemon is not ready yet.
///
/// The event may kill the daemon before it answers. The idempotency key makes a repetition safe.
fn emit(app: &App, event_type: &str) -> Option<()> {
    let answer = app.try_emit(&[event(event_type, json!({"n": 1}))], Some("once")).ok()?;
    assert!(matches!(answer.status, 202 | 503), "{answer:?}");
    (answer.status == 202).then_some(())
}

/// The dead letters. `None` while the daemon does not answer.
fn dead_letters(app: &App) -> Option<Vec<Value>> {
    let answer = app.client.send("GET", &app.path("/dead-letters"), &[], None).ok()?;
    (answer.status == 200).then(|| answer.json()["dead_letters"].as_array().cloned().unwrap_or_default())
}
