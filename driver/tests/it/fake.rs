//! A store in memory, and an executor whose handlers follow a script.

use crate::PATIENCE;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidegate_core::*;
use tidegate_driver::{Command, DriverPorts, GateHandle, SyncCaller, drive};
use tidegate_ports::{
    DispatchStore, Executor, InboxRegistry, InlineClaimGuard, Observer, ProcessClock, StartWait, WakeHandle,
};
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
        lost: 0,
        lease: Lease(1),
        due_at: NOW,
        enqueued_at: NOW,
        redrive_generation: 0,
        reply_to: None,
        handles_letter: None,
    }
}

/// Returns each row in one claim only, and records every verdict.
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
                let rows_max = claim.iter().map(|quota| quota.quota as usize).sum();
                let ids: Vec<DeliveryId> = rows.keys().copied().take(rows_max).collect();
                let claimed = ids.iter().filter_map(|id| rows.remove(id)).map(Arc::new).collect();
                Reply::Exchange(ExchangeReply {
                    now: NOW,
                    fenced: vec![],
                    conflicted: vec![],
                    claimed,
                    suspects: 0,
                    is_cut: false,
                    woken_lanes: vec![],
                })
            }
            Request::BeginCalls { calls, .. } => Reply::BeginCalls(BeginCallsReply {
                now: NOW,
                deliveries: calls
                    .into_iter()
                    .map(|call| Delivery { reply_to: Some(call.inbox), ..delivery(call.inbox.seq as i64 + 1_000) })
                    .map(Arc::new)
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
                    suspects: vec![],
                    schedules: vec![],
                })
            }
        })
    }
}

/// The behaviour of every handler.
#[derive(Clone, Copy)]
pub(crate) enum Script {
    Succeed,
    Panic,
    Sleep(Duration),
    /// Waits `before` it begins, and runs for `then`.
    Wait {
        before: Duration,
        then: Duration,
    },
    /// Waits until this many handlers run at once.
    Meet(usize),
    /// The handler of this delivery blocks its thread for this time, and the others end at once.
    Block(DeliveryId, Duration),
}

struct FakeExecutor {
    script: Script,
    barrier: Barrier,
    dropped: Arc<AtomicUsize>,
}

/// Counts an execution that is dropped before its end.
struct DropCounter {
    dropped: Arc<AtomicUsize>,
    is_finished: bool,
}

impl Drop for DropCounter {
    fn drop(&mut self) {
        if !self.is_finished {
            self.dropped.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Executor for FakeExecutor {
    async fn execute(&self, delivery: Arc<Delivery>, start_wait: &StartWait) -> Outcome {
        if let Script::Wait { before, .. } = self.script {
            tokio::time::sleep(before).await;
        }
        start_wait.end();
        let mut counter = DropCounter { dropped: Arc::clone(&self.dropped), is_finished: false };
        match self.script {
            Script::Succeed => {}
            Script::Panic => panic!("ouch"),
            Script::Sleep(pause) | Script::Wait { then: pause, .. } => tokio::time::sleep(pause).await,
            Script::Block(blocking, pause) => {
                if delivery.id == blocking {
                    std::thread::sleep(pause);
                }
            }
            Script::Meet(_) => {
                self.barrier.wait().await;
            }
        }
        counter.is_finished = true;
        Outcome::Succeeded { effects: Effects::default(), reply: None }
    }
}

struct FactSender(mpsc::UnboundedSender<Fact>);

impl Observer for FactSender {
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

/// A wait for the first fact for which the function returns a value.
pub(crate) struct FactWait<'a, T, F: FnMut(&Fact) -> Option<T>>(&'a mut World, F);

impl<T, F: FnMut(&Fact) -> Option<T>> FactWait<'_, T, F> {
    pub(crate) async fn await_some(mut self) -> T {
        let wait = async {
            loop {
                let fact = self.0.facts.recv().await.expect("the driver is running");
                if let Some(found) = (self.1)(&fact) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("the fact is reported within PATIENCE")
    }
}

impl World {
    pub(crate) fn start(config: ConfigSpec, script: Script) -> Self {
        let (commands, command_receiver) = mpsc::channel(4);
        let inboxes = InboxRegistry::new(INCARNATION);
        let (view, view_receiver) = watch::channel(View::default());
        let (fact_sender, facts) = mpsc::unbounded_channel();
        let (store, wake, dropped) = (Arc::new(FakeStore::default()), WakeHandle::default(), Arc::default());
        let barrier = Barrier::new(if let Script::Meet(handlers) = script { handlers } else { 1 });
        let executor = FakeExecutor { script, barrier, dropped: Arc::clone(&dropped) };
        let ports = DriverPorts {
            store: Arc::clone(&store),
            executor: Arc::new(executor),
            inboxes: Arc::new(inboxes.clone()),
            clock: Box::new(ProcessClock::start()),
            observer: Box::new(FactSender(fact_sender)),
            wake: wake.clone(),
            view,
        };
        let boot = Boot { incarnation: INCARNATION, rng_key: RngKey(1) };
        let task = tokio::spawn(drive(Config::try_from(config).unwrap(), boot, ports, command_receiver));
        let caller = SyncCaller::new(commands.clone(), inboxes);
        let gate = GateHandle::new(commands.clone(), view_receiver);
        Self { store, wake, commands, caller, gate, facts, task, dropped }
    }

    pub(crate) fn try_inline_claim(&self) -> Option<InlineClaimGuard> {
        self.wake.try_inline_claim()
    }

    pub(crate) fn wake(&self) {
        self.wake.wake([TriggerId(1)]);
    }

    pub(crate) async fn command(&self, command: Command) {
        self.commands.send(command).await.unwrap();
    }

    pub(crate) fn fact<T, F: FnMut(&Fact) -> Option<T>>(&mut self, find: F) -> FactWait<'_, T, F> {
        FactWait(self, find)
    }

    /// The ending of the next delivery that is settled.
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

    /// Asserts that no fact is reported for 200 ms.
    pub(crate) async fn quiet(&mut self) {
        let fact = tokio::time::timeout(Duration::from_millis(200), self.facts.recv()).await;
        assert!(fact.is_err(), "{fact:?}");
    }

    pub(crate) async fn stopped(&mut self) {
        tokio::time::timeout(PATIENCE, &mut self.task).await.expect("the driver stops within PATIENCE").unwrap();
    }

    /// Drops every sender of commands.
    pub(crate) async fn close_commands(self) {
        drop((self.commands, self.caller, self.gate));
        tokio::time::timeout(PATIENCE, self.task).await.expect("the driver stops within PATIENCE").unwrap();
    }
}
