//! While the database is down, the daemon logs one warning, is not ready and refuses requests with
//! 503. When the database is back, the daemon continues.

use crate::world::{App, MachineLock, StoreKind, TESTBED, World, client, event, on, wait_for};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::{Daemon, StopMode};

const TIMEOUT: Duration = Duration::from_secs(20);

#[test]
fn a_daemon_that_starts_before_its_database_waits_for_it() {
    let _lock = MachineLock::shared();
    let world = World::on_own_server();
    stop(&world);
    let mut daemon = Daemon::launch(world.spec("early", TESTBED, &[]));
    assert!(daemon.wait_for_readiness(503, TIMEOUT), "the daemon answers that it is not ready\n{}", daemon.log());
    assert_eq!(client(&daemon).get("/healthz").status, 200, "the process runs");
    assert!(client(&daemon).get("/readyz").json()["reason"].as_str().is_some_and(|reason| reason.starts_with("store")));
    // The daemon tries to open the store several times in 3 s.
    std::thread::sleep(Duration::from_secs(3));
    assert!(daemon.is_running());
    assert_eq!(warnings(&daemon), 1, "one warning\n{}", daemon.log());

    start(&world);
    assert!(daemon.wait_for_readiness(200, TIMEOUT), "{}", daemon.log());
    check_delivery(&App::new(client(&daemon), "early"));
}

#[test]
fn a_daemon_survives_an_outage_of_its_database() {
    let _lock = MachineLock::shared();
    let world = World::on_own_server();
    let mut daemon = world.daemon("patient", TESTBED, &[]);
    let app = App::new(client(&daemon), "patient");
    app.deploy(&[], &[on("work", "worker", json!({"native": "sleep_20ms"}), json!({"max_concurrency": 4}))]);
    app.emit(&vec![event("work", Value::Null); 400]);
    wait_for("the work to begin", TIMEOUT, || (app.deliveries("worker").len() < 400).then_some(()));

    stop(&world);
    assert!(daemon.wait_for_readiness(503, TIMEOUT), "{}", daemon.log());
    let refused = app.client.put(&app.path("/kv/things/1"), &json!(1));
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(refused.json()["code"], "store_unavailable");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    assert_eq!(refused.header("tidegate-code"), Some("store_unavailable"));
    assert_eq!(app.client.get("/healthz").status, 200);
    // A call that begins while the server is away fails after the time for a connection, 5 s.
    wait_for("a warning", TIMEOUT, || (warnings(&daemon) > 0).then_some(()));
    std::thread::sleep(Duration::from_secs(2));
    assert!(daemon.is_running());
    assert_eq!(warnings(&daemon), 1, "one warning\n{}", daemon.log());

    start(&world);
    assert!(daemon.wait_for_readiness(200, TIMEOUT), "{}", daemon.log());
    wait_for("the rest of the work", TIMEOUT, || app.is_drained().then_some(()));
    assert_eq!(app.dead_letters(), Vec::<Value>::new(), "interrupted deliveries were repeated");
    check_delivery(&app);
}

#[test]
fn a_store_that_cannot_be_opened_by_waiting_ends_the_daemon() {
    let _lock = MachineLock::shared();
    let world = World::new(StoreKind::Sqlite);
    let folder = format!("sqlite:{}", world.folder().display());
    for (name, url, reason) in [
        ("misspelt", "postgres://127.0.0.1:none/x", "the Postgres URL is not valid"),
        ("misplaced", folder.as_str(), "SQLite cannot open"),
    ] {
        let mut daemon = Daemon::launch(world.spec(name, TESTBED, &[("TIDEGATE_STORE_URL", url)]));
        wait_for("the end of the process", TIMEOUT, || (!daemon.is_running()).then_some(()));
        assert!(daemon.log().contains(reason), "{}", daemon.log());
    }
}

fn stop(world: &World) {
    world.server().stop(StopMode::Immediate).unwrap_or_else(|error| panic!("{error}"));
}

fn start(world: &World) {
    world.server().start().unwrap_or_else(|error| panic!("{error}"));
}

/// The number of warnings and errors in the log.
fn warnings(daemon: &Daemon) -> usize {
    daemon.log().lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).count()
}

/// Checks that a put fires a trigger and that the delivery is executed.
fn check_delivery(app: &App) {
    let rule = json!({"source": "kv", "collection": "things"});
    app.deploy(&[], &[json!({"name": "things", "match": rule, "handler": {"native": "noop"}})]);
    let put = app.client.put(&app.path("/kv/things/1"), &json!(1)).ok();
    assert_eq!(put["deliveries"], 1);
    wait_for("the delivery to be done", TIMEOUT, || app.is_drained().then_some(()));
}
