//! Connections to the database that fall silent without an error: the daemon says that it is not
//! ready, and works again over new connections. No acknowledged put is lost.

use crate::world::{App, Client, MachineLock, StoreKind, TESTBED, World, client, wait_for};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use testkit::Daemon;

const TIMEOUT: Duration = Duration::from_secs(20);
/// The most time until the daemon works again.
const RECOVERY_MAX: Duration = Duration::from_secs(8);

/// A thread that puts one key after the other, and the keys that were acknowledged.
struct Writer {
    acknowledged: Arc<Mutex<BTreeSet<u32>>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    fn start(client: Client, path: String) -> Self {
        let (acknowledged, ends) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (acknowledged, ends) = (Arc::clone(&acknowledged), Arc::clone(&ends));
            move || {
                for n in 0.. {
                    if ends.load(Ordering::Relaxed) {
                        return;
                    }
                    if client.put(&format!("{path}/{n}"), &json!(n)).status == 200 {
                        acknowledged.lock().unwrap().insert(n);
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        });
        Self { acknowledged, ends, thread: Some(thread) }
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    fn end(mut self) -> BTreeSet<u32> {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        std::mem::take(&mut *self.acknowledged.lock().unwrap())
    }
}

/// Starts a daemon with a trigger on the keys, and a writer.
fn start(world: &World) -> (Daemon, App, Writer) {
    let daemon = world.daemon("silent", TESTBED, &[]);
    let app = App::new(client(&daemon), "silent");
    let rule = json!({"source": "kv", "collection": "things"});
    app.deploy(&[], &[json!({"name": "things", "match": rule, "handler": {"native": "noop"}})]);
    let writer = Writer::start(client(&daemon), app.path("/kv/things"));
    wait_for("puts", TIMEOUT, || (writer.count() > 20).then_some(()));
    (daemon, app, writer)
}

/// Waits until puts are acknowledged again, then checks that none was lost.
fn check_recovery(since: Instant, daemon: &Daemon, app: &App, writer: Writer) {
    let before = writer.count();
    wait_for("puts after the silence", TIMEOUT, || (writer.count() > before + 5).then_some(()));
    let took = since.elapsed();
    assert!(took < RECOVERY_MAX, "it took {took:?}\n{}", daemon.log());
    assert!(daemon.wait_for_readiness(200, RECOVERY_MAX), "{}", daemon.log());
    let acknowledged = writer.end();
    wait_for("all deliveries", TIMEOUT, || app.is_drained().then_some(()));
    for n in &acknowledged {
        assert_eq!(app.client.get(&app.path(&format!("/kv/things/{n}"))).status, 200, "the put of {n} was lost");
    }
    assert_eq!(app.dead_letters(), Vec::<serde_json::Value>::new());
}

#[test]
fn a_daemon_whose_connections_fall_silent_works_again() {
    let _lock = MachineLock::shared();
    let (world, proxy) = World::new(StoreKind::Postgres).through_proxy();
    let (daemon, app, writer) = start(&world);
    let since = Instant::now();
    proxy.silence_open();
    std::thread::sleep(Duration::from_millis(100));
    assert!(daemon.wait_for_readiness(503, Duration::from_secs(5)), "{}", daemon.log());
    check_recovery(since, &daemon, &app, writer);
}

#[test]
fn a_daemon_whose_server_freezes_works_again_on_the_standby() {
    let _lock = MachineLock::shared();
    let world = World::on_own_server();
    let standby = world.server().standby().unwrap_or_else(|error| panic!("{error}"));
    let (world, proxy) = world.through_proxy();
    let (daemon, app, writer) = start(&world);

    let frozen = world.server().freeze();
    assert!(daemon.wait_for_readiness(503, Duration::from_secs(5)), "{}", daemon.log());
    standby.promote().unwrap_or_else(|error| panic!("{error}"));
    proxy.retarget(([127, 0, 0, 1], standby.port()).into());
    check_recovery(Instant::now(), &daemon, &app, writer);
    drop(daemon);
    drop(frozen);
}
