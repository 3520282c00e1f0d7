//! Sync calls that could take all permits leave some to deliveries, and to the calls of other apps.

use crate::calls::http;
use crate::fairness::{DELAY_MAX_MS, PROBE, delay_ms};
use crate::world::{App, Client, MachineLock, StoreKind, TESTBED, World, client, event, on, wait_for};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Callers of one public trigger. The gate has 64 permits by default.
const CALLERS: usize = 100;
/// Apps with one slow call each: as many as the permits that are left to apps without a call.
const OTHER_APPS: [&str; 8] = ["one", "two", "three", "four", "five", "six", "seven", "eight"];
const PROBES: usize = 10;
const TIMEOUT: Duration = Duration::from_secs(20);

/// Threads that call a path again and again until [`Callers::stop`].
struct Callers {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Callers {
    fn start(callers: impl IntoIterator<Item = (Client, String)>) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let thread = |(client, path): (Client, String)| {
            let is_over = Arc::clone(&is_over);
            std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    // A caller that waits too long for a permit gets 503, and calls again.
                    let status = client.get(&path).status;
                    assert!(status == 204 || status == 503, "{path} answers {status}");
                }
            })
        };
        let threads = callers.into_iter().map(thread).collect();
        Self { is_over, threads }
    }

    fn stop(self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().expect("each call gets 204 or 503"));
    }
}

fn app(client: &Client, name: &'static str, handler: &str) -> App {
    let app = App::new(client.clone(), name);
    let rule = json!({"method": "GET", "path": "/page", "public": true});
    app.deploy(
        &[("probe", PROBE)],
        &[
            http("page", rule, json!({"native": handler}), json!({})),
            on("probe", "probe", json!({"script": "probe"}), json!({})),
        ],
    );
    app
}

fn wait_for_running(client: &Client, at_least: u64) {
    wait_for("the calls to run", TIMEOUT, || {
        (client.get("/v1/gate").ok()["running"].as_u64() >= Some(at_least)).then_some(())
    });
}

/// Emits `PROBES` events. Returns the time from each event to the start of its execution, in ms.
fn probe_deliveries(app: &App) -> Vec<f64> {
    let before = app.entries("starts").len();
    for _ in 0..PROBES {
        app.emit(&[event("probe", Value::Null)]);
        std::thread::sleep(Duration::from_millis(300));
    }
    let starts = wait_for("the last delivery", TIMEOUT, || {
        Some(app.entries("starts")).filter(|starts| starts.len() == before + PROBES)
    });
    starts.iter().map(|(_, probe)| delay_ms(probe)).collect()
}

/// Makes `PROBES` calls. Returns the duration of each one, in ms.
fn probe_calls(client: &Client, path: &str) -> Vec<f64> {
    let call = |_| {
        let start = Instant::now();
        assert_eq!(client.get(path).status, 204);
        std::thread::sleep(Duration::from_millis(100));
        (start.elapsed() - Duration::from_millis(100)).as_secs_f64() * 1e3
    };
    (0..PROBES).map(call).collect()
}

fn check(what: &str, delays: &[f64]) {
    println!("{what}, in ms: {delays:.1?}");
    assert!(delays.iter().all(|delay| *delay <= DELAY_MAX_MS), "{what}: {delays:.1?}");
}

/// The settings are the defaults. The handlers of the callers take 2 s.
#[test]
fn slow_public_calls_delay_neither_deliveries_nor_the_calls_of_other_apps() {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let _lock = MachineLock::exclusive();
        let world = World::new(kind);
        let daemon = world.daemon("full", TESTBED, &[]);
        let client = client(&daemon);
        app(&client, "slow", "answer_in_2s");
        let fast = app(&client, "fast", "answer_204");
        OTHER_APPS.iter().for_each(|name| _ = app(&client, name, "answer_in_2s"));
        let call = |name: &str| (client.anonymous(), format!("/http/{name}/page"));

        let callers = Callers::start((0..CALLERS).map(|_| call("slow")));
        // 8 of 64 permits are the reserve of deliveries. Of the other 56 an eighth is left to apps
        // without a call.
        wait_for_running(&client, 49);
        check("calls of another app", &probe_calls(&client.anonymous(), "/http/fast/page"));
        check("deliveries beside the calls of one app", &probe_deliveries(&fast));

        let others = Callers::start(OTHER_APPS.map(call));
        wait_for_running(&client, 56);
        check("deliveries beside the calls of many apps", &probe_deliveries(&fast));
        callers.stop();
        others.stop();
    }
}
