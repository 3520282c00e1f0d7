//! An event whose handler kills the process ends as a dead letter, and everything else goes on.

use crate::world::{App, Kind, TESTBED, Turn, World, client, event, on};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::Daemon;

/// Each attempt costs a start of the daemon and, on Postgres, a lease.
const PATIENCE: Duration = Duration::from_secs(60);
const SHORT_LEASE: (&str, &str) = ("TIDEGATE_DISPATCHER_LEASE_MS", "1000");

#[test]
fn on_sqlite() {
    ends_as_a_dead_letter(Kind::Sqlite);
}

#[test]
fn on_postgres() {
    ends_as_a_dead_letter(Kind::Postgres);
}

fn ends_as_a_dead_letter(kind: Kind) {
    let _turn = Turn::shared();
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
    supervised(&mut daemon, &mut crashes, |daemon| emit(&App::new(client(daemon), "poison"), "poison"));
    let letter = supervised(&mut daemon, &mut crashes, |_| dead_letters(&app).into_iter().flatten().next());

    assert_eq!(crashes, 3, "once for each attempt");
    assert_eq!(letter["trigger"], "crasher");
    assert_eq!(letter["reason"], "attempts_exhausted");
    assert_eq!(letter["attempts"], 3);
    assert_eq!(letter["event"]["type"], "poison");
    let failed = letter["failed"].as_array().expect("the failed attempts are a list");
    let failed: Vec<_> = failed.iter().map(|one| (&one["attempt"], &one["error"], &one["duration_ms"])).collect();
    let (lost, null) = (json!("lost"), Value::Null);
    assert_eq!(failed, [(&json!(1), &lost, &null), (&json!(2), &lost, &null), (&json!(3), &lost, &null)]);

    // From now on nothing crashes any more, and others were never harmed.
    app.emit(&[event("harmless", json!(null))]);
    crate::world::wait_for("the bystander's delivery", PATIENCE, || app.is_drained().then_some(()));
    assert!(daemon.is_running());
    assert_eq!(app.dead_letters().len(), 1);
}

/// Looks until something is found, and starts the daemon again whenever it is down, as a supervisor would.
fn supervised<T>(daemon: &mut Daemon, crashes: &mut u32, mut look: impl FnMut(&Daemon) -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if !daemon.is_running() {
            *crashes += 1;
            daemon.relaunch();
        }
        if let Some(found) = look(daemon) {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "after {crashes} crashes it is still not there\n{}", daemon.log());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// `None` if no answer came, or the next life is not ready yet: the daemon may have died of the event before it could say
/// that it took it. The key makes another try harmless.
fn emit(app: &App, event_type: &str) -> Option<()> {
    let answer = app.try_emit(&[event(event_type, json!({"n": 1}))], Some("once")).ok()?;
    assert!(matches!(answer.status, 202 | 503), "{answer:?}");
    (answer.status == 202).then_some(())
}

/// `None` while nobody answers.
fn dead_letters(app: &App) -> Option<Vec<Value>> {
    let answer = app.client.send("GET", &app.path("/dead-letters"), &[], None).ok()?;
    (answer.status == 200).then(|| answer.json()["dead_letters"].as_array().cloned().unwrap_or_default())
}
