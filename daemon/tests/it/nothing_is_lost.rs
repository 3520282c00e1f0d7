//! Daemons and database servers are killed under load.
//!
//! Afterwards each acknowledged order has its receipt, and the count of each customer is exactly
//! the number of that customer's orders.

use crate::world::{App, MachineLock, StoreKind, TIDEGATE, World, client, deploy_example, wait_for};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use testkit::Daemon;

const ORDERS: usize = 2_000;
const CLIENTS: usize = 8;
const CUSTOMERS: usize = 10;
const KILLS: usize = 5;
/// The limit for the load, and again for the deliveries that remain after it.
const TIMEOUT: Duration = Duration::from_secs(120);

#[test]
fn no_order_is_lost_on_sqlite_when_the_daemon_is_killed() {
    let _lock = MachineLock::shared();
    let world = World::new(StoreKind::Sqlite);
    let mut daemons = [world.daemon("a", TIDEGATE, &[])];
    load_and_check(&mut daemons, |daemons, _| {
        daemons[0].kill9();
        daemons[0].restart();
    });
}

#[test]
fn no_order_is_lost_on_postgres_when_the_daemon_is_killed() {
    let _lock = MachineLock::shared();
    let world = World::new(StoreKind::Postgres);
    let mut daemons = [world.daemon("a", TIDEGATE, &[])];
    load_and_check(&mut daemons, |daemons, _| {
        daemons[0].kill9();
        daemons[0].restart();
    });
}

#[test]
fn no_order_is_lost_on_postgres_when_one_of_two_daemons_is_killed() {
    let _lock = MachineLock::shared();
    let world = World::new(StoreKind::Postgres);
    let mut daemons = ["a", "b"].map(|name| world.daemon(name, TIDEGATE, &[]));
    load_and_check(&mut daemons, |daemons, time| {
        let victim = &mut daemons[time % 2];
        victim.kill9();
        victim.restart();
    });
}

#[test]
fn no_order_is_lost_on_postgres_when_the_database_server_crashes() {
    let _lock = MachineLock::shared();
    let world = World::on_own_server();
    let mut daemons = ["a", "b"].map(|name| world.daemon(name, TIDEGATE, &[]));
    load_and_check(&mut daemons, |daemons, _| {
        world.server().restart_immediate().unwrap_or_else(|error| panic!("{error}"));
        for daemon in daemons {
            assert!(daemon.is_running(), "a daemon survives a crash of its database");
        }
    });
}

/// Puts [`ORDERS`] orders and calls `disturb` [`KILLS`] times, evenly spread over the load. Then
/// checks the stored values.
fn load_and_check(daemons: &mut [Daemon], disturb: impl Fn(&mut [Daemon], usize)) {
    deploy_example(&daemons[0], "orders", |manifest| manifest);
    let apps: Vec<App> = daemons.iter().map(|daemon| App::new(client(daemon), "orders")).collect();
    let acknowledged = AtomicUsize::new(0);
    let next = AtomicUsize::new(0);
    let first_error = Mutex::new(None);
    let deadline = Instant::now() + TIMEOUT;
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= ORDERS || first_error.lock().expect("no client panics").is_some() {
                        return;
                    }
                    match put_until_acknowledged(&apps, number, deadline) {
                        Ok(()) => _ = acknowledged.fetch_add(1, Ordering::Relaxed),
                        Err(error) => *first_error.lock().expect("no client panics") = Some(error),
                    }
                }
            });
        }
        let has_failed = || first_error.lock().expect("no client panics").is_some();
        for time in 0..KILLS {
            let at = ORDERS * (time + 1) / (KILLS + 1);
            while acknowledged.load(Ordering::Relaxed) < at && !has_failed() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(2));
            }
            disturb(daemons, time);
        }
    });
    assert_eq!(first_error.into_inner().expect("no client panics"), None);
    assert_eq!(acknowledged.into_inner(), ORDERS);
    wait_for("all deliveries to be done", TIMEOUT, || apps[0].is_drained().then_some(()));
    check(&apps[0]);
}

fn order(number: usize) -> (String, Value) {
    let customer = format!("customer-{}", number % CUSTOMERS);
    (format!("order-{number:04}"), json!({"customer": customer, "total": number}))
}

/// Repeats the put of one order until a daemon acknowledges it.
///
/// The precondition makes the repetition safe. If an earlier put was applied and its answer was
/// lost, the next put answers 412.
fn put_until_acknowledged(apps: &[App], number: usize, deadline: Instant) -> Result<(), String> {
    let (key, value) = order(number);
    let body = value.to_string();
    let headers = [("content-type", "application/json"), ("if-none-match", "*")];
    let mut last = String::new();
    for attempt in 0.. {
        if Instant::now() > deadline {
            break;
        }
        let app = &apps[(number + attempt) % apps.len()];
        match app.client.send("PUT", &app.path(&format!("/kv/orders/{key}")), &headers, Some(body.as_bytes())) {
            Ok(answer) if matches!(answer.status, 200 | 412) => return Ok(()),
            Ok(answer) if answer.status == 503 => last = format!("{answer:?}"),
            Ok(answer) => return Err(format!("{key}: {answer:?}")),
            Err(error) => last = error.to_string(),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(format!("{key} was never acknowledged; the last answer: {last}"))
}

fn check(app: &App) {
    assert_eq!(app.dead_letters(), Vec::<Value>::new());
    let orders: BTreeMap<String, Value> = app.entries("orders").into_iter().collect();
    let expected: BTreeMap<String, Value> = (0..ORDERS).map(order).collect();
    assert_eq!(orders, expected, "the acknowledged orders");
    let receipts: BTreeSet<String> = app.entries("receipts").into_iter().map(|(key, _)| key).collect();
    let missing: Vec<&String> = orders.keys().filter(|key| !receipts.contains(*key)).collect();
    assert_eq!(missing, Vec::<&String>::new(), "orders without a receipt");
    assert_eq!(receipts.len(), ORDERS, "receipts without an order");
    let counts: BTreeMap<String, Value> = app.entries("counts").into_iter().collect();
    let each = json!({"orders": ORDERS / CUSTOMERS});
    let expected: BTreeMap<String, Value> =
        (0..CUSTOMERS).map(|customer| (format!("customer-{customer}"), each.clone())).collect();
    assert_eq!(counts, expected, "orders per customer, each counted once");
}
