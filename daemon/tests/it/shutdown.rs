//! A daemon that gets SIGTERM finishes running executions and releases its other claims.
//!
//! No claim has to wait for its lease to expire.

use crate::world::{App, MachineLock, StoreKind, TESTBED, World, client, event, on, wait_for};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(20);
/// Far longer than the test, so that the test fails if a delivery waits for its lease to expire.
const LONG_LEASE: (&str, &str) = ("TIDEGATE_DISPATCHER_LEASE_MS", "600000");
const DEBUG_LOG: (&str, &str) = ("TIDEGATE_LOG_LEVEL", "debug");

#[test]
fn a_stopping_daemon_finishes_running_executions_on_sqlite() {
    finishes_running_executions_and_releases_other_claims(StoreKind::Sqlite);
}

#[test]
fn a_stopping_daemon_finishes_running_executions_on_postgres() {
    finishes_running_executions_and_releases_other_claims(StoreKind::Postgres);
}

fn finishes_running_executions_and_releases_other_claims(kind: StoreKind) {
    let _lock = MachineLock::shared();
    let world = World::new(kind);
    let mut daemon = world.daemon("polite", TESTBED, &[LONG_LEASE, DEBUG_LOG]);
    let app = App::new(client(&daemon), "polite");
    app.deploy(&[], &[on("work", "worker", json!({"native": "sleep_200ms"}), json!({"max_concurrency": 3}))]);
    app.emit(&vec![event("work", Value::Null); 20]);
    wait_for("the work to begin", TIMEOUT, || daemon.log().contains("started").then_some(()));

    let start = Instant::now();
    let status = daemon.terminate();
    assert!(status.success(), "{status}\n{}", daemon.log());
    assert!(start.elapsed() < Duration::from_secs(8), "the shutdown took {:?}", start.elapsed());
    let done = done_count(&daemon.log());
    assert!((3..20).contains(&done), "running executions finish and no others begin: {done} done\n{}", daemon.log());

    daemon.restart();
    wait_for("the rest of the work", TIMEOUT, || app.is_drained().then_some(()));
    assert_eq!(app.dead_letters(), Vec::<Value>::new());
    assert_eq!(daemon.log().matches("started").count(), 20, "no delivery ran twice\n{}", daemon.log());
}

fn done_count(log: &str) -> usize {
    log.matches("done in").count()
}
