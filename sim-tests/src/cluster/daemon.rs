//! A daemon as a node: the driver as it runs in production, against a store that is a network away.

use super::Shared;
use super::store::{Asked, address, bind};
use crate::checkers::{Life, Observation};
use crate::plan::{Plan, Settings};
use crate::world::{config, event, incarnation, key_of, outcome, principal};
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

/// How long a store call is waited for.
const CALL_MAX: Duration = Duration::from_millis(300);

/// One daemon, and its present life.
pub(super) struct Daemon {
    node: NodeHandle,
    page: TriggerId,
    life: Arc<Mutex<Option<Running>>>,
    /// Thousandths of the right rate of its clock.
    rate: Arc<AtomicU64>,
    referee: Shared,
}

/// What others hold of a life.
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
                // After a shutdown it is started anew, like any service.
                loop {
                    let of = Life { daemon: number, life: lives.fetch_add(1, Ordering::Relaxed) + 1 };
                    live(of, &plan, &referee, &published, &drift).await;
                    sleep(Duration::from_millis(100)).await;
                }
            }
        };
        let ip = address_of(number).ip();
        let node = Handle::current().create_node().name(format!("daemon {number}")).ip(ip).init(init).build();
        let page = referee.lock().expect("nobody panicked").page;
        Self { node, page, life, rate, referee: Shared::clone(referee) }
    }

    pub(super) fn id(&self) -> NodeId {
        self.node.id()
    }

    pub(super) fn kill(&self) {
        *self.life.lock().expect("nobody panicked") = None;
        Handle::current().kill(self.id());
    }

    pub(super) fn set_rate(&self, permille: u64) {
        self.rate.store(permille, Ordering::Relaxed);
    }

    pub(super) fn command(&self, command: Command) {
        if let Some(running) = &*self.life.lock().expect("nobody panicked") {
            running.commands.try_send(command).ok();
        }
    }

    /// Other limits are put in force. Until they are, either may count.
    pub(super) fn change_gate(&self, limits: GateLimits) {
        let Some((of, gate)) = self.life.lock().expect("nobody panicked").as_ref().map(Running::gate) else { return };
        let referee = Shared::clone(&self.referee);
        let before = gate.limits();
        self.node.spawn(async move {
            let either = GateLimits {
                permits: limits.permits.max(before.permits),
                sync_reserve: limits.sync_reserve.min(before.sync_reserve),
            };
            referee.lock().expect("nobody panicked").observe(&Observation::Configured {
                of,
                gate: either,
                batch_max: None,
            });
            if gate.change(limits).await.is_ok() {
                // What was started before is seen up to a timer's step later, which is a millisecond.
                sleep(Duration::from_millis(2)).await;
                referee.lock().expect("nobody panicked").observe(&Observation::Configured {
                    of,
                    gate: limits,
                    batch_max: None,
                });
            }
        });
    }

    pub(super) fn wake(&self, lanes: Vec<TriggerId>) {
        if let Some(running) = &*self.life.lock().expect("nobody panicked") {
            running.wake.wake(lanes);
        }
    }

    /// Room for what is about to be emitted by this life.
    pub(super) fn try_inline_claim(&self) -> Option<(Life, InlineClaimGuard)> {
        let life = self.life.lock().expect("nobody panicked");
        life.as_ref().and_then(|running| Some((running.of, running.wake.try_inline_claim()?)))
    }

    /// Somebody calls, and hangs up when patience is at its end.
    pub(super) fn call(&self, patience: u64, key: Option<u32>) {
        let Some(caller) = self.life.lock().expect("nobody panicked").as_ref().map(|life| life.caller.clone()) else {
            return;
        };
        let target = SyncTarget::Trigger(self.page);
        let referee = Shared::clone(&self.referee);
        self.node.spawn(async move {
            let cause = Cause::outside(principal("admin"));
            let call = caller.call_with_key(target, event("http.request", "GET /"), cause, key.map(key_of));
            let told = timeout(Duration::from_micros(patience), call).await;
            referee.lock().expect("nobody panicked").tell(|| format!("a caller is told: {told:?}"));
        });
    }

    pub(super) fn view(&self) -> Option<View> {
        self.life.lock().expect("nobody panicked").as_ref().map(|life| *life.view.borrow())
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.view().is_some_and(|view| view.held == 0 && view.replying == 0 && view.calls_waiting == 0)
    }
}

fn address_of(number: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 1, number as u8 + 1], 1))
}

/// One life, from its first look at the store to its shutdown; a crash ends it anywhere.
async fn live(of: Life, plan: &Plan, referee: &Shared, published: &Mutex<Option<Running>>, rate: &Arc<AtomicU64>) {
    let Settings { gate, .. } = plan.settings;
    let incarnation = incarnation(of.daemon, of.life);
    let endpoint = bind(address_of(of.daemon)).await;
    let (commands, commanded) = mpsc::channel(64);
    let inboxes = InboxRegistry::new(incarnation);
    let (view, viewed) = watch::channel(View { held: 1, ..View::default() });
    let wake = WakeHandle::default();
    let caller = SyncCaller::new(commands.clone(), inboxes.clone());
    referee.lock().expect("nobody panicked").tell(|| format!("daemon {}: life {} begins", of.daemon, of.life));
    referee.lock().expect("nobody panicked").observe(&Observation::Configured { of, gate, batch_max: None });
    let running = Running { of, commands, caller, view: viewed, wake: wake.clone() };
    *published.lock().expect("nobody panicked") = Some(running);
    let ports = DriverPorts {
        store: Arc::new(RemoteStore { of, endpoint, referee: Shared::clone(referee), calls: AtomicU64::new(0) }),
        executor: Arc::new(Handlers { of, seed: plan.seed, referee: Shared::clone(referee) }),
        inboxes: Arc::new(Watched { of, inboxes, referee: Shared::clone(referee) }),
        clock: Box::new(Drifting::start(Arc::clone(rate))),
        observer: Box::new(Heard { of, referee: Shared::clone(referee) }),
        wake,
        view,
    };
    let rng_key = RngKey(plan.seed ^ of.life << 8 ^ of.daemon as u64);
    drive(config(plan.settings), Boot { incarnation, rng_key }, ports, commanded).await;
    *published.lock().expect("nobody panicked") = None;
    referee.lock().expect("nobody panicked").observe(&Observation::LifeEnded { of });
}

/// The store, a network away.
struct RemoteStore {
    of: Life,
    endpoint: Endpoint,
    referee: Shared,
    calls: AtomicU64,
}

impl DispatchStore for RemoteStore {
    async fn call(&self, request: Request) -> Result<Reply, StoreError> {
        let Life { daemon, life } = self.of;
        let asks = Observation::StoreCalled { of: self.of, op: None, request: &request };
        self.referee.lock().expect("nobody panicked").observe(&asks);
        let seq = self.calls.fetch_add(1, Ordering::Relaxed);
        let asked = Asked { daemon, life, op: OpId { incarnation: incarnation(daemon, life), seq }, request };
        let answer = self.endpoint.call_timeout(address(), asked, CALL_MAX).await;
        answer.map_err(|error| StoreError::unknown(error.to_string()))
    }
}

/// What a handler says that panics; of any other panic the process dies.
pub(super) const HANDLER_PANIC: &str = "a handler that panics";

/// Runs handlers, in simulated time.
struct Handlers {
    of: Life,
    seed: u64,
    referee: Shared,
}

/// Tells the checkers that an execution is over, also if it was dropped.
struct Watch {
    op: OpId,
    claim: Claim,
    referee: Shared,
    outcome: Option<Outcome>,
}

impl Drop for Watch {
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
        // Whoever was given up is dropped before the clock moves on, and may not count beside this one.
        sleep(Duration::from_micros(1)).await;
        let claim = delivery.claim();
        let (mut running, took, outcome) = {
            let mut world = self.referee.lock().expect("nobody panicked");
            let nth = world.next_execution();
            let op = OpId { incarnation: incarnation(self.of.daemon, self.of.life), seq: nth };
            let (daemon, name) = (self.of.daemon, delivery.trigger_name.clone());
            world.tell(|| format!("daemon {daemon}: executes {claim}, {name}"));
            world.observe(&Observation::ExecutionStarted { of: self.of, op, delivery: &delivery });
            let (took, outcome) = outcome(self.seed, &delivery, nth, world.store());
            let running = Watch { op, claim, referee: Shared::clone(&self.referee), outcome: None };
            (running, took, outcome)
        };
        sleep(Duration::from_micros(took)).await;
        assert!(took % 97 != 13, "{HANDLER_PANIC}");
        running.outcome = Some(outcome.clone());
        outcome
    }
}

/// Hands replies over, and tells the checkers.
struct Watched {
    of: Life,
    inboxes: InboxRegistry,
    referee: Shared,
}

impl InboxResolver for Watched {
    async fn deliver(&self, inbox: InboxId, reply: SyncReply) -> ReplyOutcome {
        let delivered = self.inboxes.deliver(inbox, reply.clone()).await;
        let was = delivered == ReplyOutcome::Delivered;
        let replied = Observation::ReplyHandedOver { of: self.of, inbox, reply: &reply, delivered: was };
        self.referee.lock().expect("nobody panicked").observe(&replied);
        delivered
    }
}

struct Heard {
    of: Life,
    referee: Shared,
}

impl Observer for Heard {
    fn observe(&mut self, fact: &Fact) {
        self.referee.lock().expect("nobody panicked").observe(&Observation::Fact { of: self.of, fact });
    }
}

/// A clock that runs at the rate that a fault gives it, and never goes back.
struct Drifting {
    state: Mutex<(Instant, u64)>,
    rate: Arc<AtomicU64>,
}

impl Drifting {
    fn start(rate: Arc<AtomicU64>) -> Self {
        Self { state: Mutex::new((Instant::now(), 0)), rate }
    }
}

impl Clock for Drifting {
    fn now(&self) -> Mono {
        let mut state = self.state.lock().expect("nobody panicked");
        let (at, read) = *state;
        let passed = u64::try_from(at.elapsed().as_micros()).unwrap_or(u64::MAX);
        *state = (Instant::now(), read + passed * self.rate.load(Ordering::Relaxed) / 1_000);
        Mono(state.1)
    }

    fn when(&self, at: Mono) -> Instant {
        let left = at.since(self.now()).0;
        let rate = self.rate.load(Ordering::Relaxed);
        // A clock that stands still is looked at again soon.
        let wait = if rate == 0 { 50_000 } else { (left * 1_000).div_ceil(rate) };
        Instant::now() + Duration::from_micros(wait)
    }
}
