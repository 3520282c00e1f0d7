//! Attacks on one daemon. Beside each of them an honest client of another app puts orders, and each
//! order has its receipt soon. `/readyz` and `/healthz` answer on new connections.

use crate::world::{App, Client, MachineLock, StoreKind, TIDEGATE, World, client, event, on};
use serde_json::{Value, json};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use testkit::{Daemon, get};

/// The length of each attack.
const LENGTH: Duration = Duration::from_secs(6);
/// The limit for 99 of 100 puts, and for 99 of 100 receipts.
const P99_MAX: Duration = Duration::from_secs(1);
/// `/readyz` tells the truth within this time.
const READY_MAX: Duration = Duration::from_secs(5);
const RECEIPT: &str = "export default async (event, ctx) => { await ctx.kv.set('receipts', event.data.key, 1) }";
/// Holds 50 MB for two seconds.
const HOARDER: &str = "export default async (event, ctx) => {
    const held = new Uint8Array(50e6).fill(1);
    await ctx.sleep(2000);
    return held.length;
}";

/// An attack runs until the flag is set.
type Attack<'a> = &'a (dyn Fn(&Daemon, &AtomicBool) + Sync);

#[test]
fn idle_connections_delay_no_honest_client() {
    withstand(&[], &|daemon, has_ended| {
        let connections: Vec<TcpStream> = (0..1_000).filter_map(|_| connect(daemon)).collect();
        wait(has_ended);
        drop(connections);
    });
}

#[test]
fn requests_without_a_valid_token_delay_no_honest_client() {
    withstand(&[], &|daemon, has_ended| {
        flood(32, has_ended, || {
            let client = client(daemon).with_token("tg_guess_0123456789abcdef0123456789abcdef");
            client.send("PUT", "/v1/apps/honest/kv/orders/x", &[], Some(&vec![b' '; 1 << 20])).ok();
        });
    });
}

#[test]
fn scripts_that_fill_their_memory_delay_no_honest_client() {
    withstand(&[], &|daemon, has_ended| {
        emit_to(daemon, HOARDER, json!({"timeout_ms": 10_000, "retry": {"max_attempts": 1}}));
        wait(has_ended);
    });
}

/// Two hundred events for a script of another app.
fn emit_to(daemon: &Daemon, source: &str, more: Value) {
    let app = App::new(client(daemon), "hostile");
    app.deploy(&[("bad", source)], &[on("go", "bad", json!({"script": "bad"}), more)]);
    app.emit(&vec![event("go", Value::Null); 200]);
}

fn connect(daemon: &Daemon) -> Option<TcpStream> {
    TcpStream::connect(("127.0.0.1", daemon.port())).ok()
}

fn wait(has_ended: &AtomicBool) {
    while !has_ended.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Repeats a request on several threads.
fn flood(threads: usize, has_ended: &AtomicBool, request: impl Fn() + Sync) {
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !has_ended.load(Ordering::Relaxed) {
                    request();
                }
            });
        }
    });
}

/// Runs the attack on both stores beside an honest client.
fn withstand(settings: &[(&str, &str)], attack: Attack<'_>) {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let _lock = MachineLock::exclusive();
        let world = World::new(kind);
        let daemon = world.daemon("target", TIDEGATE, settings);
        let honest = App::new(client(&daemon), "honest");
        let rule = json!({
            "name": "receipt", "match": {"source": "kv", "ops": ["set"], "collection": "orders"},
            "handler": {"script": "receipt"},
        });
        honest.deploy(&[("receipt", RECEIPT)], &[rule]);
        let (has_ended, times) = (AtomicBool::new(false), Times::default());
        std::thread::scope(|scope| {
            scope.spawn(|| attack(&daemon, &has_ended));
            let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| be_honest(&daemon, &honest, &times)));
            has_ended.store(true, Ordering::Relaxed);
            failed.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
        times.check(kind);
    }
}

/// Puts orders and waits for each receipt, until the attack has lasted long enough.
fn be_honest(daemon: &Daemon, honest: &App, times: &Times) {
    let since = Instant::now();
    let mut order = 0;
    while since.elapsed() < LENGTH {
        order += 1;
        let put_at = Instant::now();
        // A client that was chosen as an idle one to be closed connects again.
        let put = format!("/kv/orders/{order}");
        wait_until(|| put_once(&honest.client, &honest.path(&put)));
        times.puts.lock().unwrap().push(put_at.elapsed());
        wait_until(|| {
            honest
                .client
                .send("GET", &honest.path(&format!("/kv/receipts/{order}")), &[], None)
                .is_ok_and(|answer| answer.status == 200)
        });
        times.receipts.lock().unwrap().push(put_at.elapsed());
        for path in ["/readyz", "/healthz"] {
            let answer = get(daemon.port(), path, READY_MAX).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn put_once(client: &Client, path: &str) -> bool {
    let headers = [("content-type", "application/json")];
    client.send("PUT", path, &headers, Some(b"1")).is_ok_and(|answer| answer.status == 200)
}

fn wait_until(mut is_done: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_done() {
        assert!(since.elapsed() < LENGTH, "an honest request had no success for {LENGTH:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[derive(Default)]
struct Times {
    puts: Mutex<Vec<Duration>>,
    receipts: Mutex<Vec<Duration>>,
}

impl Times {
    fn check(&self, kind: StoreKind) {
        for (name, times) in [("put", &self.puts), ("receipt", &self.receipts)] {
            let mut times = times.lock().unwrap().clone();
            times.sort();
            assert!(times.len() >= 20, "only {} times of a {name} on {kind:?}", times.len());
            let p99 = times[(times.len() - 1) * 99 / 100];
            println!("{kind:?}: {} {name}s, p99 {p99:?}, longest {:?}", times.len(), times[times.len() - 1]);
            assert!(p99 < P99_MAX, "the p99 of a {name} on {kind:?} is {p99:?}");
        }
    }
}
