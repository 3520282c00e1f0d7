//! Every mutation that makes rows wakes the dispatcher of its process: here it looks by itself only once a minute.

use crate::http_api::Api;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tidegate_core::{Boot, Config, ConfigSpec, Delivery, Effects, Fact, Incarnation, Outcome, RngKey, View};
use tidegate_driver::{Command, DriverPorts, drive};
use tidegate_ports::{Executor, NoopInboxResolver, Observer, ProcessClock};
use tokio::sync::{mpsc, watch};

struct Noop;

impl Executor for Noop {
    async fn execute(&self, _: Arc<Delivery>) -> Outcome {
        Outcome::Succeeded { effects: Effects::default(), reply: None }
    }
}

/// Counts the exchanges.
struct Exchanges(Arc<AtomicU64>);

impl Observer for Exchanges {
    fn observe(&mut self, fact: &Fact) {
        if let Fact::ExchangeAnswered { .. } = fact {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// An API with a dispatcher on its store, which has looked around and sleeps.
fn driven() -> (Api, mpsc::Sender<Command>, Arc<AtomicU64>) {
    let exchanges = Arc::default();
    let api = Api::new();
    let config = Config::try_from(ConfigSpec { poll_interval_ms: 60_000, ..ConfigSpec::default() }).unwrap();
    let boot = Boot { incarnation: Incarnation(uuid::Uuid::new_v4()), rng_key: RngKey(1) };
    let (commands, commanded) = mpsc::channel(1);
    let ports = DriverPorts {
        store: Arc::new(api.memory.clone()),
        executor: Arc::new(Noop),
        clock: Box::new(ProcessClock::start()),
        observer: Box::new(Exchanges(Arc::clone(&exchanges))),
        wake: api.services.wake.clone(),
        inboxes: Arc::new(NoopInboxResolver),
        view: watch::channel(View::default()).0,
    };
    api.runtime().spawn(drive(config, boot, ports, commanded));
    (api, commands, exchanges)
}

#[track_caller]
fn drains(api: &Api) {
    wait_for("the dispatcher, which nobody woke", || api.memory.transaction().outbox_len() == 0);
}

#[track_caller]
fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn trigger(api: &Api, name: &str, rule: Value) {
    api.put(&format!("/v1/apps/shop/triggers/{name}"), json!({"match": rule, "handler": {"script": "fine"}})).is(200);
}

#[test]
fn a_row_does_not_wait_for_the_next_look() {
    let (api, _commands, _) = driven();
    trigger(&api, "kv", json!({"source": "kv"}));
    trigger(&api, "app", json!({"source": "app", "type": "t"}));
    assert_eq!(api.put("/v1/apps/shop/kv/c/k", json!(1)).is(200)["deliveries"], json!(1));
    drains(&api);
    api.delete("/v1/apps/shop/kv/c/k").is(204);
    drains(&api);
    let emitted = api.post("/v1/apps/shop/events", json!({"specversion": "1.0", "type": "t"})).is(202);
    assert_eq!(emitted["events"][0]["deliveries"], json!(1));
    drains(&api);
}

#[test]
fn a_resumed_trigger_runs_what_waited() {
    let (api, _commands, exchanges) = driven();
    trigger(&api, "app", json!({"source": "app", "type": "t"}));
    api.send("POST", "/v1/apps/shop/triggers/app/pause", &[], "").is(200);
    api.post("/v1/apps/shop/events", json!({"specversion": "1.0", "type": "t"})).is(202);
    wait_for("a look at the paused trigger", || exchanges.load(Ordering::SeqCst) > 0);
    // Whatever that look has led to is done: nothing else happens for a minute.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(api.memory.transaction().outbox_len(), 1, "a paused trigger's row waits");
    api.send("POST", "/v1/apps/shop/triggers/app/resume", &[], "").is(200);
    drains(&api);
}
