//! A daemon as a node: the production driver against a store across the network.

use super::clock::SkewedClock;
use super::ports::{Handlers, NoObserver, RemoteStore, ReportingInboxes};
use super::store::bind;
use super::watched::WatchedDispatcher;
use super::{Shared, lock};
use crate::app::{app_of_call, principal};
use crate::checkers::{DriverEvent, Life};
use crate::world::{chain, config, event, incarnation, key_of, script};
use madsim::runtime::{Handle, NodeHandle};
use madsim::task::NodeId;
use madsim::time::{Duration, sleep, timeout};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tidegate_core::{
    Boot, Cause, Config, Delivery, Dispatcher, GateLimits, InboxId, RngKey, SyncTarget, TriggerId, View,
};
use tidegate_driver::{Command, DriverPorts, GateHandle, SyncCaller, drive_dispatcher};
use tidegate_ports::{Clock, InboxRegistry, InlineClaimGuard, WakeHandle};
use tokio::sync::{mpsc, watch};

/// A daemon and its current life.
pub(super) struct Daemon {
    node: NodeHandle,
    number: usize,
    life: Arc<Mutex<Option<Running>>>,
    referee: Shared,
}

/// The handles that other tasks use for a life.
#[derive(Clone)]
struct Running {
    of: Life,
    commands: mpsc::Sender<Command>,
    caller: SyncCaller,
    view: watch::Receiver<View>,
    wake: WakeHandle,
    /// The number of calls made.
    calls: Arc<AtomicU64>,
}

impl Daemon {
    pub(super) fn start(number: usize, referee: &Shared) -> Self {
        let life = Arc::new(Mutex::new(None));
        let (shared, published) = (Shared::clone(referee), Arc::clone(&life));
        let init = move || {
            let (referee, published) = (Shared::clone(&shared), Arc::clone(&published));
            async move {
                // After a shutdown the daemon restarts, like any service.
                loop {
                    run_life(number, &referee, &published).await;
                    let down = lock(&referee).draw.between(1_000, 500_000);
                    sleep(Duration::from_micros(down)).await;
                }
            }
        };
        let ip = address_of(number).ip();
        let node = Handle::current().create_node().name(format!("daemon {number}")).ip(ip).init(init).build();
        Self { node, number, life, referee: Shared::clone(referee) }
    }

    pub(super) fn id(&self) -> NodeId {
        self.node.id()
    }

    pub(super) fn kill(&self) {
        *self.life.lock().expect("no lock is poisoned") = None;
        Handle::current().kill(self.id());
    }

    /// Spawns a task in the current process of the node.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let node = Handle::current().get_node(self.id()).expect("nodes are never removed");
        node.spawn(task);
    }

    /// The current life, if its process runs.
    fn running(&self) -> Option<Running> {
        let running = self.life.lock().expect("no lock is poisoned").clone();
        running.filter(|running| lock(&self.referee).is_current(running.of))
    }

    pub(super) fn shut_down(&self) {
        let Some(running) = self.running() else { return };
        if running.commands.try_send(Command::Shutdown).is_ok() {
            lock(&self.referee).report(running.of, DriverEvent::ShutdownRequested);
        }
    }

    /// Changes the gate's limits, and waits until they are in force.
    pub(super) fn change_gate(&self, limits: GateLimits) {
        let Some(running) = self.running() else { return };
        let gate = GateHandle::new(running.commands, running.view);
        self.spawn(async move { _ = gate.change(limits).await });
    }

    pub(super) fn wake(&self, lanes: &[TriggerId]) {
        let Some(running) = self.running() else { return };
        lock(&self.referee).report(running.of, DriverEvent::LanesWoken(lanes));
        running.wake.wake(lanes.iter().copied());
    }

    pub(super) fn wake_for_discovery(&self) {
        if let Some(running) = self.running() {
            running.wake.wake_for_discovery();
        }
    }

    /// The right to claim inline for an emission of this life.
    pub(super) fn try_inline_claim(&self) -> Option<(Life, InlineClaimGuard)> {
        let running = self.running()?;
        Some((running.of, running.wake.try_inline_claim()?))
    }

    /// Hands the rows of an inline claim over when the answer of the store has arrived.
    pub(super) fn hand_over(&self, of: Life, guard: InlineClaimGuard, claimed: Vec<Arc<Delivery>>) {
        let referee = Shared::clone(&self.referee);
        self.spawn(async move {
            sleep(Duration::from_millis(1)).await;
            lock(&referee).report(of, DriverEvent::InlineClaimed(&claimed));
            guard.hand_over(claimed);
        });
    }

    /// Makes a call and hangs up after `patience`.
    pub(super) fn call(&self, patience: u64, key: Option<u32>) {
        let Some(running) = self.running() else { return };
        let referee = Shared::clone(&self.referee);
        let page = lock(&referee).page;
        let number = self.number;
        self.spawn(async move {
            let seq = running.calls.fetch_add(1, Ordering::Relaxed) + 1;
            let inbox = InboxId { incarnation: incarnation(number, running.of.life), seq };
            lock(&referee).report(running.of, DriverEvent::CallMade(inbox));
            let cause = Cause { parent: chain(seq), ..Cause::outside(principal("admin")) };
            let (target, event) = match seq % 5 {
                4 => (script(), event("invoke", "")),
                _ => (SyncTarget::Trigger { app: app_of_call(inbox), id: page }, event("http.request", "GET /")),
            };
            let call = running.caller.call_with_key(target, event, cause, key.map(key_of));
            let reply = timeout(Duration::from_micros(patience), call).await;
            lock(&referee).tell(|| format!("daemon {number}: caller {seq} gets {reply:?}"));
        });
    }

    pub(super) fn view(&self) -> Option<View> {
        self.running().map(|running| *running.view.borrow())
    }

    pub(super) fn is_quiet(&self) -> bool {
        let is_quiet = |view: View| view.held == 0 && view.replying == 0 && view.calls_waiting == 0;
        self.view().is_some_and(is_quiet)
    }

    /// True if this daemon could start an execution for a lane that has none.
    pub(super) fn has_room(&self) -> bool {
        self.view().is_some_and(|view| !view.shutting_down && view.running == 0 && view.queued == 0)
    }
}

fn address_of(number: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 1, number as u8 + 1], 1))
}

/// One life, from its start to its shutdown. A crash may end it at any point.
async fn run_life(daemon: usize, referee: &Shared, published: &Mutex<Option<Running>>) {
    let endpoint = bind(address_of(daemon)).await;
    let clock = SkewedClock::start();
    let (of, settings) = lock(referee).begin(daemon, clock.clone());
    let (seed, bug) = {
        let world = lock(referee);
        (world.plan.seed, world.bug)
    };
    let mut spec = config(settings).into();
    if let Some(bug) = bug {
        bug.configure(&mut spec);
    }
    let config = Config::try_from(spec).expect("a planted bug stays within the bounds");
    let incarnation = incarnation(of.daemon, of.life);
    let rng_key = RngKey(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ of.life << 8 ^ of.daemon as u64);
    let (commands, command_queue) = mpsc::channel(64);
    let inboxes = InboxRegistry::new(incarnation);
    let dispatcher = Dispatcher::new(config, Boot { incarnation, rng_key }, clock.now());
    let dispatcher = WatchedDispatcher::new(dispatcher, of, referee);
    let (view, views) = watch::channel(View { held: 1, ..View::default() });
    let wake = WakeHandle::default();
    let caller = SyncCaller::new(commands.clone(), inboxes.clone());
    let calls = Arc::new(AtomicU64::new(0));
    let running = Running { of, commands, caller, view: views, wake: wake.clone(), calls };
    *published.lock().expect("no lock is poisoned") = Some(running);
    let ports = DriverPorts {
        store: Arc::new(RemoteStore { of, endpoint, referee: Shared::clone(referee) }),
        executor: Arc::new(Handlers { of, referee: Shared::clone(referee) }),
        inboxes: Arc::new(ReportingInboxes { of, inboxes, referee: Shared::clone(referee) }),
        clock: Box::new(clock),
        observer: Box::new(NoObserver),
        wake,
        view,
    };
    drive_dispatcher(dispatcher, config.lease_for(), ports, command_queue).await;
    *published.lock().expect("no lock is poisoned") = None;
    let mut world = lock(referee);
    world.report(of, DriverEvent::LoopEnded);
    world.end(of);
}
