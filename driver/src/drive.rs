//! The loop. It makes no decisions: it waits for the first thing that happens, tells the dispatcher, and does what the
//! dispatcher says.

use futures_util::FutureExt;
use std::any::Any;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tidegate_core::{
    Action, Boot, Config, Delivery, Dispatcher, ExecError, Failure, GateLimits, InboxId, InlineRoom, Input, Mono, OpId,
    Outcome, Output, Reply, Request, StoreError, SyncCall, View,
};
use tidegate_ports::{
    Clock, DispatchStore, Executor, InboxResolver, InlineBatch, Observer, ReplyOutcome, WakeHandle, WakeUp,
};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Duration, Instant, sleep_until};

/// The world that a dispatcher is driven against.
pub struct DriverPorts<S, E, I> {
    /// Where deliveries are.
    pub store: Arc<S>,
    /// What runs handlers.
    pub executor: Arc<E>,
    /// What hands replies to callers.
    pub inboxes: Arc<I>,
    /// What is taken for the time.
    pub clock: Box<dyn Clock>,
    /// Who is told what is so.
    pub observer: Box<dyn Observer>,
    /// How others wake this dispatcher.
    pub wake: WakeHandle,
    /// Shows what the dispatcher holds, whenever it waits.
    pub view: watch::Sender<View>,
}

impl<S, E, I> std::fmt::Debug for DriverPorts<S, E, I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DriverPorts").finish_non_exhaustive()
    }
}

/// What the rest of the process asks of a running dispatcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Claim no more, finish or release what is held, then stop. A dropped sender means the same.
    Shutdown,
    /// Put other limits in force.
    ChangeGate(GateLimits),
    /// Somebody calls and waits.
    Call(Arc<SyncCall>),
    /// A caller waits no longer.
    CallerGone(InboxId),
}

/// Drives a dispatcher until it has stopped.
///
/// Answers of store calls and executions come back over one channel, which holds at most what was asked for: one
/// exchange, one renewal, one discovery, and one execution per permit.
pub async fn drive<S: DispatchStore, E: Executor, I: InboxResolver>(
    config: Config,
    boot: Boot,
    ports: DriverPorts<S, E, I>,
    mut commands: mpsc::Receiver<Command>,
) {
    let DriverPorts { store, executor, inboxes, clock, mut observer, wake, view } = ports;
    let mut dispatcher = Dispatcher::new(config, boot, clock.now());
    let (answers, mut answered) = mpsc::unbounded_channel();
    let mut tasks = Tasks { store, executor, inboxes, answers, executions: BTreeMap::new() };
    let mut commands_open = true;
    let _disable_inline_claims = DisableInlineClaims(wake.clone());
    // Until when the shutdown that was asked for waits for the offer that is out.
    let mut closing: Option<Instant> = None;

    loop {
        let wake_at = loop {
            match dispatcher.poll() {
                Output::Action(action) => tasks.perform(action),
                Output::Fact(fact) => observer.observe(&fact),
                Output::Idle { wake_at, .. } => break wake_at,
                Output::Stopped => return,
            }
        };
        let held = dispatcher.view();
        wake.set_inline_room(room(&dispatcher, &held), config.lease_for());
        view.send_replace(held);
        // Biased, because a random order could not be replayed. Answers go first: they free permits.
        let input = tokio::select! {
            biased;
            () = wake.inline_claim_ended(closing.unwrap_or_else(Instant::now)), if closing.is_some() => {
                closing = None;
                let last = told(&mut dispatcher, &*clock, wake.take_wake_up());
                dispatcher.handle(clock.now(), last);
                Some(Input::ShutdownRequested)
            }
            Some(answer) = answered.recv() => Some(tasks.taken(answer)),
            command = commands.recv(), if commands_open => {
                commands_open = command.is_some();
                command.and_then(asked)
            }
            woken = wake.next_wake_up() => Some(told(&mut dispatcher, &*clock, woken)),
            () = sleep_until(wake_at.map_or_else(|| Instant::now() + FAR_AWAY, |at| clock.when(at))) => Some(Input::Tick),
        };
        let mut take = |input| {
            if let Some(input) = input {
                dispatcher.handle(clock.now(), input);
            } else {
                // What an emission is claiming right now would have to wait for its lease to run out.
                wake.disable_inline_claims();
                closing.get_or_insert_with(|| Instant::now() + LAST_OFFER);
            }
        };
        take(input);
        // What else is there already goes in before the next poll, so that it is settled together.
        while let Ok(answer) = answered.try_recv() {
            take(Some(tasks.taken(answer)));
        }
        while let Ok(command) = commands.try_recv() {
            take(asked(command));
        }
    }
}

fn room(dispatcher: &Dispatcher, held: &View) -> InlineRoom {
    if held.inline_room == 0 {
        InlineRoom::default()
    } else {
        InlineRoom { rows: held.inline_room, closed_lanes: dispatcher.closed_lanes() }
    }
}

/// Lanes go in before rows that were claimed: what waits in a lane goes first.
fn told(dispatcher: &mut Dispatcher, clock: &dyn Clock, WakeUp { lanes, discover, inline_batch }: WakeUp) -> Input {
    let woken = Input::WakeUp { lanes, discover };
    let Some(InlineBatch { deliveries, started_at }) = inline_batch else { return woken };
    let now = clock.now();
    dispatcher.handle(now, woken);
    let ago = u64::try_from(started_at.elapsed().as_micros()).unwrap_or(u64::MAX);
    Input::InlineClaim { claimed: deliveries, begun_at: Mono(now.0.saturating_sub(ago)) }
}

/// Nothing, if the dispatcher is to be shut down.
fn asked(command: Command) -> Option<Input> {
    Some(match command {
        Command::Shutdown => return None,
        Command::ChangeGate(limits) => Input::GateChanged { limits },
        Command::Call(call) => Input::SyncCalled { call },
        Command::CallerGone(inbox) => Input::CallerGone { inbox },
    })
}

/// How long a shutdown waits for an emission that is claiming rows.
const LAST_OFFER: Duration = Duration::from_secs(1);
/// A timer for when only answers are waited for.
const FAR_AWAY: Duration = Duration::from_secs(3_600);

/// Disables inline claims, however the driver ends.
struct DisableInlineClaims(WakeHandle);

impl Drop for DisableInlineClaims {
    fn drop(&mut self) {
        self.0.disable_inline_claims();
    }
}

struct Tasks<S, E, I> {
    store: Arc<S>,
    executor: Arc<E>,
    inboxes: Arc<I>,
    answers: mpsc::UnboundedSender<Input>,
    executions: BTreeMap<OpId, AbortHandle>,
}

impl<S: DispatchStore, E: Executor, I: InboxResolver> Tasks<S, E, I> {
    fn perform(&mut self, action: Action) {
        let answers = self.answers.clone();
        match action {
            Action::CallStore { op, request } => {
                let store = Arc::clone(&self.store);
                tokio::spawn(async move {
                    let result = call(&*store, request).await;
                    // The receiver is gone only when the dispatcher has stopped.
                    answers.send(Input::StoreAnswered { op, result }).ok();
                });
            }
            Action::Execute { op, delivery } => {
                let executor = Arc::clone(&self.executor);
                let task = tokio::spawn(async move {
                    let outcome = execute(&*executor, delivery).await;
                    answers.send(Input::ExecutionEnded { op, outcome }).ok();
                });
                self.executions.insert(op, task.abort_handle());
            }
            Action::Reply { op, inbox, reply } => {
                let inboxes = Arc::clone(&self.inboxes);
                tokio::spawn(async move {
                    let delivered = inboxes.deliver(inbox, reply).await == ReplyOutcome::Delivered;
                    answers.send(Input::ReplyDelivered { op, delivered }).ok();
                });
            }
            Action::Cancel { op } => {
                if let Some(task) = self.executions.remove(&op) {
                    task.abort();
                }
            }
        }
    }

    fn taken(&mut self, answer: Input) -> Input {
        if let Input::ExecutionEnded { op, .. } = &answer {
            self.executions.remove(op);
        }
        answer
    }
}

impl<S, E, I> Drop for Tasks<S, E, I> {
    fn drop(&mut self) {
        self.executions.values().for_each(AbortHandle::abort);
    }
}

/// A panic in a store says nothing about what it had done by then.
async fn call<S: DispatchStore>(store: &S, request: Request) -> Result<Reply, StoreError> {
    let name = request.name();
    AssertUnwindSafe(store.call(request))
        .catch_unwind()
        .await
        .unwrap_or_else(|panic| Err(StoreError::unknown(format!("the store panicked in {name}: {}", text(&*panic)))))
}

/// A panic in a handler is an outcome, not the end of the daemon.
async fn execute<E: Executor>(executor: &E, delivery: Arc<Delivery>) -> Outcome {
    AssertUnwindSafe(executor.execute(delivery)).catch_unwind().await.unwrap_or_else(|panic| {
        Outcome::Failed(Failure::new(ExecError::Internal, format!("the handler panicked: {}", text(&*panic))))
    })
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a message")
}
