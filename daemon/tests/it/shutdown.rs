//! A daemon that is asked to stop finishes what runs, gives back what waits, and leaves nothing for a lease to expire.

use crate::world::{App, Kind, TESTBED, Turn, World, client, event, on, wait_for};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);
/// Far longer than the test: a delivery that came back only when its lease ran out would be missed.
const LONG_LEASE: (&str, &str) = ("TIDEGATE_DISPATCHER_LEASE_MS", "600000");
const SAY_ALL: (&str, &str) = ("TIDEGATE_LOG_LEVEL", "debug");

#[test]
fn on_sqlite() {
    finishes_what_runs_and_gives_back_the_rest(Kind::Sqlite);
}

#[test]
fn on_postgres() {
    finishes_what_runs_and_gives_back_the_rest(Kind::Postgres);
}

fn finishes_what_runs_and_gives_back_the_rest(kind: Kind) {
    let _turn = Turn::shared();
    let world = World::new(kind);
    let mut daemon = world.daemon("polite", TESTBED, &[LONG_LEASE, SAY_ALL]);
    let app = App::new(client(&daemon), "polite");
    app.deploy(&[], &[on("work", "worker", json!({"native": "sleep_200ms"}), json!({"max_concurrency": 3}))]);
    app.emit(&vec![event("work", Value::Null); 20]);
    wait_for("the work to begin", PATIENCE, || daemon.log().contains("started").then_some(()));

    let asked = Instant::now();
    let status = daemon.terminate();
    assert!(status.success(), "{status}\n{}", daemon.log());
    assert!(asked.elapsed() < Duration::from_secs(8), "within its grace: {:?}", asked.elapsed());
    let done = done(&daemon.log());
    assert!((3..20).contains(&done), "what ran was finished, the rest was not begun: {done} done\n{}", daemon.log());

    daemon.restart();
    wait_for("the rest of the work", PATIENCE, || app.is_drained().then_some(()));
    assert_eq!(app.dead_letters(), Vec::<Value>::new());
    assert_eq!(daemon.log().matches("started").count(), 20, "nothing ran twice\n{}", daemon.log());
}

fn done(log: &str) -> usize {
    log.matches("done in").count()
}
