//! A daemon as a node: the production driver against a store across the network.

use super::Shared;
use super::store::{StoreCall, address, bind};
use crate::app::principal;
use crate::checkers::{Life, Observation};
use crate::plan::{Plan, Settings};
use crate::world::{config, event, incarnation, key_of, outcome};
use madsim::net::Endpoint;
use madsim::runtime::{Handle, NodeHandle};
use madsim::task::NodeId;
use madsim::time::{Duration, Instant, sleep, timeout};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tidegate_core::{
    Boot, Cause, Claim, Delivery, Fact, GateLimits, InboxId, Mono, OpId, Outcome, Reply, Request, RngKey, StoreError,
    SyncReply, SyncTarget, TriggerId, View,
};
use tidegate_driver::{Command, DriverPorts, GateHandle, SyncCaller, drive};
use tidegate_ports::{
    Clock, DispatchStore, Executor, InboxRegistry, InboxResolver, InlineClaimGuard, Observer, ReplyOutcome, WakeHandle,
};
use tokio::sync::{mpsc, watch};

/// The timeout of a store call.
const CALL_MAX: Duration = Duration::from_millis(300);

/// A daemon and its current life.
pub(super) struct Daemon {
    node: NodeHandle,
    page: TriggerId,
    life: Arc<Mutex<Option<Running>>>,
    /// The rate of its clock in thousandths.
    rate: Arc<AtomicU64>,
    referee: Shared,
}

/// The handles that other tasks use for a life.
struct Running {
    of: Life,
    commands: mpsc::Sender<Command>,
    caller: SyncCaller,
    view: watch::Receiver<View>,
    wake: WakeHandle,
}

impl Running {
    fn gate(&self) -> (Life, GateHandle) {
        (self.of, GateHandle::new(self.commands.clone(), self.view.clone()))
    }
}

impl Daemon {
    pub(super) fn start(number: usize, plan: &Arc<Plan>, referee: &Shared) -> Self {
        let life = Arc::new(Mutex::new(None));
        let rate = Arc::new(AtomicU64::new(1_000));
        let lives = Arc::new(AtomicU64::new(0));
        let (plan, shared, published, drift) =
            (Arc::clone(plan), Shared::clone(referee), Arc::clone(&life), Arc::clone(&rate));
        let init = move || {
            let (plan, referee, published) = (Arc::clone(&plan), Shared::clone(&shared), Arc::clone(&published));
            let (lives, drift) = (Arc::clone(&lives), Arc::clone(&drift));
            async move {
                // After a shutdown the daemon restarts, like any service.
                loop {
                    let of = Life { daemon: number, life: lives.fetch_add(1, Ordering::Relaxed) + 1 };
                    run_life(of, &plan, &referee, &published, &drift).await;
                    sleep(Duration::from_millis(100)).await;
                }
            }
        };
        let ip = address_of(number).ip();
        let node = Handle::current().create_node().name(format!("daemon {number}")).ip(ip).init(init).build();
        let page = referee.lock().expect("no lock is poisoned").page;
        Self { node, page, life, rate, referee: Shared::clone(referee) }
    }

    pub(super) fn id(&self) -> NodeId {
        self.node.id()
    }

    pub(super) fn kill(&self) {
        *self.life.lock().expect("no lock is poisoned") = None;
        Handle::current().kill(self.id());
    }

    pub(super) fn set_rate(&self, permille: u64) {
        self.rate.store(permille, Ordering::Relaxed);
    }

    pub(super) fn command(&self, command: Command) {
        if let Some(running) = &*self.life.lock().expect("no lock is poisoned") {
            running.commands.try_send(command).ok();
        }
    }

    /// Changes the gate's limits. While the change is in progress, either limits may apply.
    pub(super) fn change_gate(&self, limits: GateLimits) {
        let Some((of, gate)) = self.life.lock().expect("no lock is poisoned").as_ref().map(Running::gate) else {
            return;
        };
        let referee = Shared::clone(&self.referee);
        let before = gate.limits();
        self.node.spawn(async move {
            let either = GateLimits {
                permits: limits.permits.max(before.permits),
                sync_reserve: limits.sync_reserve.min(before.sync_reserve),
                async_reserve: limits.async_reserve.min(before.async_reserve),
            };
            referee.lock().expect("no lock is poisoned").observe(&Observation::Configured {
                of,
                gate: either,
                batch_max: None,
            });
            if gate.change(limits).await.is_ok() {
                // An earlier start is observed up to one timer step (1 ms) later.
                sleep(Duration::from_millis(2)).await;
                referee.lock().expect("no lock is poisoned").observe(&Observation::Configured {
                    of,
                    gate: limits,
                    batch_max: None,
                });
            }
        });
    }

    pub(super) fn wake(&self, lanes: Vec<TriggerId>) {
        if let Some(running) = &*self.life.lock().expect("no lock is poisoned") {
            running.wake.wake(lanes);
        }
    }

    /// The right to claim inline for an emission of this life.
    pub(super) fn try_inline_claim(&self) -> Option<(Life, InlineClaimGuard)> {
        let life = self.life.lock().expect("no lock is poisoned");
        life.as_ref().and_then(|running| Some((running.of, running.wake.try_inline_claim()?)))
    }

    /// Makes a call and hangs up after `patience`.
    pub(super) fn call(&self, patience: u64, key: Option<u32>) {
        let Some(caller) = self.life.lock().expect("no lock is poisoned").as_ref().map(|life| life.caller.clone())
        else {
            return;
        };
        let target = SyncTarget::Trigger(self.page);
        let referee = Shared::clone(&self.referee);
        self.node.spawn(async move {
            let cause = Cause::outside(principal("admin"));
            let call = caller.call_with_key(target, event("http.request", "GET /"), cause, key.map(key_of));
            let reply = timeout(Duration::from_micros(patience), call).await;
            referee.lock().expect("no lock is poisoned").tell(|| format!("a caller gets the reply: {reply:?}"));
        });
    }

    pub(super) fn view(&self) -> Option<View> {
        self.life.lock().expect("no lock is poisoned").as_ref().map(|life| *life.view.borrow())
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.view().is_some_and(|view| view.held == 0 && view.replying == 0 && view.calls_waiting == 0)
    }
}

fn address_of(number: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 1, number as u8 + 1], 1))
}

/// One life, from its start to its shutdown. A crash may end it at any point.
async fn run_life(of: Life, plan: &Plan, referee: &Shared, published: &Mutex<Option<Running>>, rate: &Arc<AtomicU64>) {
    let Settings { gate, .. } = plan.settings;
    let incarnation = incarnation(of.daemon, of.life);
    let endpoint = bind(address_of(of.daemon)).await;
    let (commands, command_queue) = mpsc::channel(64);
    let inboxes = InboxRegistry::new(incarnation);
    let (view, views) = watch::channel(View { held: 1, ..View::default() });
    let wake = WakeHandle::default();
    let caller = SyncCaller::new(commands.clone(), inboxes.clone());
    referee.lock().expect("no lock is poisoned").tell(|| format!("daemon {}: life {} begins", of.daemon, of.life));
    referee.lock().expect("no lock is poisoned").observe(&Observation::Configured { of, gate, batch_max: None });
    let running = Running { of, commands, caller, view: views, wake: wake.clone() };
    *published.lock().expect("no lock is poisoned") = Some(running);
    let ports = DriverPorts {
        store: Arc::new(RemoteStore { of, endpoint, referee: Shared::clone(referee), calls: AtomicU64::new(0) }),
        executor: Arc::new(Handlers { of, seed: plan.seed, referee: Shared::clone(referee) }),
        inboxes: Arc::new(ReportingInboxes { of, inboxes, referee: Shared::clone(referee) }),
        clock: Box::new(DriftingClock::start(Arc::clone(rate))),
        observer: Box::new(FactObserver { of, referee: Shared::clone(referee) }),
        wake,
        view,
    };
    let rng_key = RngKey(plan.seed ^ of.life << 8 ^ of.daemon as u64);
    drive(config(plan.settings), Boot { incarnation, rng_key }, ports, command_queue).await;
    *published.lock().expect("no lock is poisoned") = None;
    referee.lock().expect("no lock is poisoned").observe(&Observation::LifeEnded { of });
}

/// The store across the network.
struct RemoteStore {
    of: Life,
    endpoint: Endpoint,
    referee: Shared,
    calls: AtomicU64,
}

impl DispatchStore for RemoteStore {
    async fn call(&self, request: Request) -> Result<Reply, StoreError> {
        let Life { daemon, life } = self.of;
        let observation = Observation::StoreCalled { of: self.of, op: None, request: &request };
        self.referee.lock().expect("no lock is poisoned").observe(&observation);
        let seq = self.calls.fetch_add(1, Ordering::Relaxed);
        let call = StoreCall { daemon, life, op: OpId { incarnation: incarnation(daemon, life), seq }, request };
        let answer = self.endpoint.call_timeout(address(), call, CALL_MAX).await;
        answer.map_err(|error| StoreError::unknown(error.to_string()))
    }
}

/// The message of a handler's panic. Any other panic ends the process.
pub(super) const HANDLER_PANIC: &str = "a handler that panics";

/// Runs handlers in simulated time.
struct Handlers {
    of: Life,
    seed: u64,
    referee: Shared,
}

/// Reports the end of an execution to the checkers, also if it was dropped.
struct ExecutionReport {
    op: OpId,
    claim: Claim,
    referee: Shared,
    outcome: Option<Outcome>,
}

impl Drop for ExecutionReport {
    fn drop(&mut self) {
        if let Ok(mut world) = self.referee.lock() {
            world.observe(&Observation::ExecutionEnded {
                op: self.op,
                claim: self.claim,
                outcome: self.outcome.as_ref(),
            });
        }
    }
}

impl Executor for Handlers {
    async fn execute(&self, delivery: Arc<Delivery>) -> Outcome {
        // A cancelled execution is dropped before the clock advances, so it is not counted beside
        // this one.
        sleep(Duration::from_micros(1)).await;
        let claim = delivery.claim();
        let (mut running, took, outcome) = {
            let mut world = self.referee.lock().expect("no lock is poisoned");
            let nth = world.next_execution();
            let op = OpId { incarnation: incarnation(self.of.daemon, self.of.life), seq: nth };
            let (daemon, name) = (self.of.daemon, delivery.trigger_name.clone());
            world.tell(|| format!("daemon {daemon}: executes {claim}, {name}"));
            world.observe(&Observation::ExecutionStarted { of: self.of, op, delivery: &delivery });
            let (took, outcome) = outcome(self.seed, &delivery, nth, world.store());
            let running = ExecutionReport { op, claim, referee: Shared::clone(&self.referee), outcome: None };
            (running, took, outcome)
        };
        sleep(Duration::from_micros(took)).await;
        assert!(took % 97 != 13, "{HANDLER_PANIC}");
        running.outcome = Some(outcome.clone());
        outcome
    }
}

/// Hands replies over and reports them to the checkers.
struct ReportingInboxes {
    of: Life,
    inboxes: InboxRegistry,
    referee: Shared,
}

impl InboxResolver for ReportingInboxes {
    async fn deliver(&self, inbox: InboxId, reply: SyncReply) -> ReplyOutcome {
        let delivered = self.inboxes.deliver(inbox, reply.clone()).await;
        let is_delivered = delivered == ReplyOutcome::Delivered;
        let observation = Observation::ReplyHandedOver { of: self.of, inbox, reply: &reply, delivered: is_delivered };
        self.referee.lock().expect("no lock is poisoned").observe(&observation);
        delivered
    }
}

struct FactObserver {
    of: Life,
    referee: Shared,
}

impl Observer for FactObserver {
    fn observe(&mut self, fact: &Fact) {
        self.referee.lock().expect("no lock is poisoned").observe(&Observation::Fact { of: self.of, fact });
    }
}

/// A clock with a rate set by faults. It never goes back.
struct DriftingClock {
    state: Mutex<(Instant, u64)>,
    rate: Arc<AtomicU64>,
}

impl DriftingClock {
    fn start(rate: Arc<AtomicU64>) -> Self {
        Self { state: Mutex::new((Instant::now(), 0)), rate }
    }
}

impl Clock for DriftingClock {
    fn now(&self) -> Mono {
        let mut state = self.state.lock().expect("no lock is poisoned");
        let (at, read) = *state;
        let passed = u64::try_from(at.elapsed().as_micros()).unwrap_or(u64::MAX);
        *state = (Instant::now(), read + passed * self.rate.load(Ordering::Relaxed) / 1_000);
        Mono(state.1)
    }

    fn when(&self, at: Mono) -> Instant {
        let left = at.since(self.now()).0;
        let rate = self.rate.load(Ordering::Relaxed);
        // A stopped clock is read again after 50 ms.
        let wait = if rate == 0 { 50_000 } else { (left * 1_000).div_ceil(rate) };
        Instant::now() + Duration::from_micros(wait)
    }
}
