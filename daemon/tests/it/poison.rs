//! An event whose handler kills the process becomes a dead letter, and no other one. Other triggers
//! continue.

use crate::world::{App, MachineLock, StoreKind, TESTBED, World, client, event, on};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::Daemon;

/// Each attempt takes a start of the daemon and the back-off of a suspect.
const TIMEOUT: Duration = Duration::from_secs(60);

#[test]
fn a_crashing_event_becomes_a_dead_letter_on_sqlite() {
    a_crashing_event_becomes_a_dead_letter(StoreKind::Sqlite);
}

#[test]
fn a_crashing_event_becomes_a_dead_letter_on_postgres() {
    a_crashing_event_becomes_a_dead_letter(StoreKind::Postgres);
}

#[test]
fn a_poison_among_many_dies_alone_on_sqlite() {
    a_poison_among_many_dies_alone(StoreKind::Sqlite, &["a"]);
}

#[test]
fn a_poison_among_many_dies_alone_on_postgres() {
    a_poison_among_many_dies_alone(StoreKind::Postgres, &["a"]);
}

#[test]
fn a_poison_among_many_dies_alone_beside_three_daemons() {
    a_poison_among_many_dies_alone(StoreKind::Postgres, &["a", "b", "c"]);
}

/// The events beside the poison, all of one trigger. Each crash loses those that run.
const OTHERS: usize = 10_000;
/// The events of one request.
const BATCH: usize = 500;

fn a_poison_among_many_dies_alone(kind: StoreKind, names: &[&str]) {
    let _lock = MachineLock::shared();
    let world = World::new(kind);
    let mut daemons: Vec<Daemon> = names.iter().map(|name| world.daemon(name, TESTBED, &[])).collect();
    let of = |daemon: &Daemon| App::new(client(daemon), "crowd");
    of(&daemons[0]).deploy(&[], &[on("go", "go", json!({"native": "abort_or_sleep_20ms"}), json!({}))]);

    let mut crashes = 0;
    for batch in 0..OTHERS / BATCH {
        let mut events: Vec<Value> = (0..BATCH).map(|n| event("go", json!(batch * BATCH + n))).collect();
        if batch == 1 {
            events.insert(BATCH / 2, event("go", json!("poison")));
        }
        let key = batch.to_string();
        poll_all(&mut daemons, &mut crashes, |daemon| {
            let answer = of(daemon).try_emit(&events, Some(&key)).ok()?;
            (answer.status == 202).then_some(())
        });
    }
    let letters = poll_all(&mut daemons, &mut crashes, |daemon| {
        let app = of(daemon);
        let waiting = app.client.send("GET", &app.path("/deliveries?limit=1"), &[], None).ok()?;
        let is_drained = waiting.status == 200 && waiting.json()["deliveries"] == json!([]);
        dead_letters(&app).filter(|_| is_drained)
    });

    assert_eq!(letters.len(), 1, "only the poison dies: {letters:#?}");
    assert_eq!((&letters[0]["event"]["data"], &letters[0]["reason"]), (&json!("poison"), &json!("lost")));
    assert_eq!(letters[0]["attempts"], json!(3), "one attempt for each permitted loss");
    assert!((3..=4).contains(&crashes), "one more crash if the poison was held ahead at first: {crashes}");
}

/// Repeats `poll` with one daemon after the other until it returns a value. Restarts the daemons
/// that are down.
fn poll_all<T>(daemons: &mut [Daemon], crashes: &mut u32, mut poll: impl FnMut(&Daemon) -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        for at in 0..daemons.len() {
            for daemon in daemons.iter_mut().filter_map(|daemon| (!daemon.is_running()).then_some(daemon)) {
                *crashes += 1;
                daemon.relaunch();
            }
            if let Some(found) = poll(&daemons[at]) {
                return found;
            }
        }
        assert!(start.elapsed() < TIMEOUT, "timed out after {crashes} crashes\n{}", daemons[0].log());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn a_crashing_event_becomes_a_dead_letter(kind: StoreKind) {
    let _lock = MachineLock::shared();
    let world = World::new(kind);
    let mut daemon = world.daemon("testbed", TESTBED, &[]);
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

    assert_eq!(crashes, 3, "one crash for each permitted loss");
    assert_eq!(letter["trigger"], "crasher");
    assert_eq!(letter["reason"], "lost");
    assert_eq!(letter["attempts"], 3);
    assert_eq!(letter["event"]["type"], "poison");
    let failed = letter["failed"].as_array().expect("the failed attempts are a list");
    let failed: Vec<_> =
        failed.iter().map(|failed| (&failed["attempt"], &failed["error"], &failed["duration_ms"])).collect();
    let (lost, null) = (json!("lost"), Value::Null);
    assert_eq!(failed, [(&json!(1), &lost, &null); 3]);

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
