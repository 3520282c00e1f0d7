//! Every mutation that writes rows wakes the dispatcher of its process.
//!
//! The dispatcher of these tests polls only once a minute.

use crate::http_api::Api;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tidegate_core::{Boot, Config, ConfigSpec, Delivery, Effects, Fact, Incarnation, Outcome, RngKey, View};
use tidegate_driver::{Command, DriverPorts, drive};
use tidegate_ports::{Executor, NoopInboxResolver, Observer, ProcessClock, StartWait};
use tokio::sync::{mpsc, watch};

struct Noop;

impl Executor for Noop {
    async fn execute(&self, _: Arc<Delivery>, start_wait: &StartWait) -> Outcome {
        start_wait.end();
        Outcome::Succeeded { effects: Effects::default(), reply: None }
    }
}

/// Counts the exchanges of the dispatcher.
struct ExchangeCounter(Arc<AtomicU64>);

impl Observer for ExchangeCounter {
    fn observe(&mut self, fact: &Fact) {
        if let Fact::ExchangeAnswered { .. } = fact {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// An API with a dispatcher on its store.
fn api_with_dispatcher() -> (Api, mpsc::Sender<Command>, Arc<AtomicU64>) {
    let exchanges = Arc::default();
    let api = Api::new();
    let config = Config::try_from(ConfigSpec { poll_interval_ms: 60_000, ..ConfigSpec::default() }).unwrap();
    let boot = Boot { incarnation: Incarnation(uuid::Uuid::new_v4()), rng_key: RngKey(1) };
    let (commands, receiver) = mpsc::channel(1);
    let ports = DriverPorts {
        store: Arc::new(api.memory.clone()),
        executor: Arc::new(Noop),
        clock: Box::new(ProcessClock::start()),
        observer: Box::new(ExchangeCounter(Arc::clone(&exchanges))),
        wake: api.services.wake.clone(),
        inboxes: Arc::new(NoopInboxResolver),
        view: watch::channel(View::default()).0,
    };
    api.runtime().spawn(drive(config, boot, ports, receiver));
    (api, commands, exchanges)
}

#[track_caller]
fn wait_until_drained(api: &Api) {
    wait_for("the outbox to be empty", || api.memory.transaction().outbox_len() == 0);
}

#[track_caller]
fn wait_for(event: &str, has_happened: impl Fn() -> bool) {
    let start = Instant::now();
    while !has_happened() {
        assert!(start.elapsed() < Duration::from_secs(20), "timed out waiting for {event}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn trigger(api: &Api, name: &str, rule: Value) {
    api.put(&format!("/v1/apps/shop/triggers/{name}"), json!({"match": rule, "handler": {"script": "fine"}}))
        .expect_status(200);
}

#[test]
fn a_mutation_wakes_the_dispatcher() {
    let (api, _commands, _) = api_with_dispatcher();
    trigger(&api, "kv", json!({"source": "kv"}));
    trigger(&api, "app", json!({"source": "app", "type": "t"}));
    assert_eq!(api.put("/v1/apps/shop/kv/c/k", json!(1)).expect_status(200)["deliveries"], json!(1));
    wait_until_drained(&api);
    api.delete("/v1/apps/shop/kv/c/k").expect_status(204);
    wait_until_drained(&api);
    let emitted = api.post("/v1/apps/shop/events", json!({"specversion": "1.0", "type": "t"})).expect_status(202);
    assert_eq!(emitted["events"][0]["deliveries"], json!(1));
    wait_until_drained(&api);
}

#[test]
fn a_resumed_trigger_wakes_the_dispatcher() {
    let (api, _commands, exchanges) = api_with_dispatcher();
    trigger(&api, "app", json!({"source": "app", "type": "t"}));
    api.send("POST", "/v1/apps/shop/triggers/app/pause", &[], "").expect_status(200);
    api.post("/v1/apps/shop/events", json!({"specversion": "1.0", "type": "t"})).expect_status(202);
    wait_for("an exchange after the emission", || exchanges.load(Ordering::SeqCst) > 0);
    // The reaction to the exchange is over by then. The next poll is a minute away.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(api.memory.transaction().outbox_len(), 1, "the row of a paused trigger waits");
    api.send("POST", "/v1/apps/shop/triggers/app/resume", &[], "").expect_status(200);
    wait_until_drained(&api);
}
