//! A store in memory and handlers that do as they are told.

use crate::PATIENCE;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidegate_core::*;
use tidegate_driver::{Command, DriverPorts, GateHandle, SyncCaller, drive};
use tidegate_ports::{DispatchStore, Executor, InboxRegistry, InlineClaimGuard, Observer, ProcessClock, WakeHandle};
use tokio::sync::{Barrier, mpsc, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

pub(crate) fn delivery(id: i64) -> Delivery {
    let event_id = EventId(Uuid::from_u128(1));
    Delivery {
        id: DeliveryId(id),
        trigger_id: TriggerId(1),
        trigger_name: TriggerName::new("t").unwrap(),
        trigger_version: 1,
        event: Event {
            id: event_id,
            app: AppName::new("a").unwrap(),
            source: Source::App,
            event_type: EventType::new("x").unwrap(),
            subject: Subject::new("").unwrap(),
            time: NOW,
            data: Json::null(),
            actor: PrincipalId::new("admin").unwrap(),
            root_id: event_id,
            parent_id: None,
            depth: 0,
            traceparent: None,
        },
        handler: None,
        script_version: None,
        runs_as: PrincipalId::new("admin").unwrap(),
        standing: Standing::Allowed,
        policy: RetryPolicy::default(),
        timeout: Micros::from_secs(7_200),
        attempt: 1,
        lease: Lease(1),
        due_at: NOW,
        enqueued_at: NOW,
        redrive_generation: 0,
        reply_to: None,
        handles_letter: None,
    }
}

/// Gives each row away once, and remembers every verdict.
#[derive(Default)]
pub(crate) struct FakeStore {
    rows: Mutex<BTreeMap<DeliveryId, Delivery>>,
    settled: Mutex<Vec<Verdict>>,
    panic_once: AtomicBool,
}

impl FakeStore {
    pub(crate) fn put(&self, delivery: Delivery) {
        self.rows.lock().unwrap().insert(delivery.id, delivery);
    }

    pub(crate) fn panic_once(&self) {
        self.panic_once.store(true, Ordering::SeqCst);
    }

    pub(crate) fn settled(&self) -> Vec<Verdict> {
        self.settled.lock().unwrap().clone()
    }
}

impl DispatchStore for FakeStore {
    async fn call(&self, request: Request) -> Result<Reply, StoreError> {
        assert!(!self.panic_once.swap(false, Ordering::SeqCst), "ouch");
        let mut rows = self.rows.lock().unwrap();
        Ok(match request {
            Request::Exchange { settle, claim, .. } => {
                self.settled.lock().unwrap().extend(settle.into_iter().map(|settlement| settlement.verdict));
                let many = claim.iter().map(|quota| quota.quota as usize).sum();
                let ids: Vec<DeliveryId> = rows.keys().copied().take(many).collect();
                let claimed = ids.iter().filter_map(|id| rows.remove(id)).collect();
                Reply::Exchange(ExchangeReply {
                    now: NOW,
                    fenced: vec![],
                    conflicted: vec![],
                    claimed,
                    woken_lanes: vec![],
                })
            }
            Request::BeginCalls { calls, .. } => Reply::BeginCalls(BeginCallsReply {
                now: NOW,
                deliveries: calls
                    .into_iter()
                    .map(|call| Delivery { reply_to: Some(call.inbox), ..delivery(call.inbox.seq as i64 + 1_000) })
                    .collect(),
                refused: vec![],
                repeated: vec![],
            }),
            Request::Tick { .. } => Reply::Tick(TickReply { now: NOW, woken_lanes: vec![] }),
            Request::Renew { .. } => Reply::Renew(RenewReply { now: NOW, fenced: vec![] }),
            Request::Discover => {
                let lane = LaneState { trigger: TriggerId(1), next_due: NOW, max_concurrency: None };
                Reply::Discover(DiscoverReply {
                    now: NOW,
                    lanes: if rows.is_empty() { vec![] } else { vec![lane] },
                    schedules: vec![],
                })
            }
        })
    }
}

/// What every handler does.
#[derive(Clone, Copy)]
pub(crate) enum Script {
    Succeed,
    Panic,
    Sleep(Duration),
    /// Waits until so many run at once.
    Meet(usize),
}

struct FakeExecutor {
    script: Script,
    barrier: Barrier,
    dropped: Arc<AtomicUsize>,
}

/// Counts executions that were dropped before their end.
struct OnDrop(Arc<AtomicUsize>, bool);

impl Drop for OnDrop {
    fn drop(&mut self) {
        if !self.1 {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Executor for FakeExecutor {
    async fn execute(&self, _: Arc<Delivery>) -> Outcome {
        let mut on_drop = OnDrop(Arc::clone(&self.dropped), false);
        match self.script {
            Script::Succeed => {}
            Script::Panic => panic!("ouch"),
            Script::Sleep(pause) => tokio::time::sleep(pause).await,
            Script::Meet(_) => {
                self.barrier.wait().await;
            }
        }
        on_drop.1 = true;
        Outcome::Succeeded { effects: Effects::default(), reply: None }
    }
}

struct Tell(mpsc::UnboundedSender<Fact>);

impl Observer for Tell {
    fn observe(&mut self, fact: &Fact) {
        self.0.send(fact.clone()).ok();
    }
}

const INCARNATION: Incarnation = Incarnation(Uuid::from_u128(1));

pub(crate) struct World {
    pub(crate) store: Arc<FakeStore>,
    wake: WakeHandle,
    commands: mpsc::Sender<Command>,
    pub(crate) caller: SyncCaller,
    pub(crate) gate: GateHandle,
    facts: mpsc::UnboundedReceiver<Fact>,
    task: JoinHandle<()>,
    dropped: Arc<AtomicUsize>,
}

/// A fact that is waited for.
pub(crate) struct Awaited<'a, T, F: FnMut(&Fact) -> Option<T>>(&'a mut World, F);

impl<T, F: FnMut(&Fact) -> Option<T>> Awaited<'_, T, F> {
    pub(crate) async fn await_some(mut self) -> T {
        let wait = async {
            loop {
                let fact = self.0.facts.recv().await.expect("the driver runs");
                if let Some(found) = (self.1)(&fact) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("the fact never came")
    }
}

impl World {
    pub(crate) fn start(config: ConfigSpec, script: Script) -> Self {
        let (commands, commanded) = mpsc::channel(4);
        let inboxes = InboxRegistry::new(INCARNATION);
        let (view, viewed) = watch::channel(View::default());
        let (tell, facts) = mpsc::unbounded_channel();
        let (store, wake, dropped) = (Arc::new(FakeStore::default()), WakeHandle::default(), Arc::default());
        let barrier = Barrier::new(if let Script::Meet(many) = script { many } else { 1 });
        let executor = FakeExecutor { script, barrier, dropped: Arc::clone(&dropped) };
        let ports = DriverPorts {
            store: Arc::clone(&store),
            executor: Arc::new(executor),
            inboxes: Arc::new(inboxes.clone()),
            clock: Box::new(ProcessClock::start()),
            observer: Box::new(Tell(tell)),
            wake: wake.clone(),
            view,
        };
        let boot = Boot { incarnation: INCARNATION, rng_key: RngKey(1) };
        let task = tokio::spawn(drive(Config::try_from(config).unwrap(), boot, ports, commanded));
        let caller = SyncCaller::new(commands.clone(), inboxes);
        let gate = GateHandle::new(commands.clone(), viewed);
        Self { store, wake, commands, caller, gate, facts, task, dropped }
    }

    /// An emission is about to claim what it writes, if there is room.
    pub(crate) fn try_inline_claim(&self) -> Option<InlineClaimGuard> {
        self.wake.try_inline_claim()
    }

    pub(crate) fn wake(&self) {
        self.wake.wake([TriggerId(1)]);
    }

    pub(crate) async fn command(&self, command: Command) {
        self.commands.send(command).await.unwrap();
    }

    pub(crate) fn fact<T, F: FnMut(&Fact) -> Option<T>>(&mut self, of: F) -> Awaited<'_, T, F> {
        Awaited(self, of)
    }

    /// How the next delivery ends.
    pub(crate) async fn ending(&mut self) -> Ending {
        self.fact(|fact| match fact {
            Fact::DeliverySettled { ending, .. } => Some(ending.clone()),
            _ => None,
        })
        .await_some()
        .await
    }

    pub(crate) fn dropped_executions(&self) -> usize {
        self.dropped.load(Ordering::SeqCst)
    }

    /// Nothing happens within the time in which a poll would have found something.
    pub(crate) async fn quiet(&mut self) {
        let fact = tokio::time::timeout(Duration::from_millis(200), self.facts.recv()).await;
        assert!(fact.is_err(), "{fact:?}");
    }

    pub(crate) async fn stopped(&mut self) {
        tokio::time::timeout(PATIENCE, &mut self.task).await.expect("it never stopped").unwrap();
    }

    pub(crate) async fn hang_up(self) {
        drop((self.commands, self.caller, self.gate));
        tokio::time::timeout(PATIENCE, self.task).await.expect("it never stopped").unwrap();
    }
}
