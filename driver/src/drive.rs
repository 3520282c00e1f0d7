//! The loop. It makes no decisions: it waits for the next event, gives it to the dispatcher, and
//! performs the actions that the dispatcher returns.

use crate::Drivable;
use crate::shutdown::Shutdown;
use crate::tasks::{Answer, Tasks};
use std::sync::Arc;
use tidegate_core::{Boot, Config, Dispatcher, GateLimits, InboxId, Input, Micros, Mono, Output, SyncCall, View};
use tidegate_ports::{Clock, DispatchStore, Executor, InboxResolver, InlineBatch, Observer, WakeHandle, WakeUp};
use tokio::sync::{mpsc, watch};
use tokio::time::{Duration, Instant, sleep_until};

/// The ports of one driver.
pub struct DriverPorts<S, E, I> {
    /// The store of the deliveries.
    pub store: Arc<S>,
    pub executor: Arc<E>,
    /// Hands replies to sync callers.
    pub inboxes: Arc<I>,
    /// The monotonic clock of the dispatcher.
    pub clock: Box<dyn Clock>,
    pub observer: Box<dyn Observer>,
    /// Wakes this driver. The writers of this process hold clones.
    pub wake: WakeHandle,
    /// Publishes the state of the dispatcher each time before the loop waits.
    pub view: watch::Sender<View>,
}

impl<S, E, I> std::fmt::Debug for DriverPorts<S, E, I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DriverPorts").finish_non_exhaustive()
    }
}

/// A request of this process to its running dispatcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Claim no more rows, finish or release the rows that are held, then stop. Closing the channel
    /// of commands has the same effect.
    Shutdown,
    /// Replace the limits of the gate.
    ChangeGate(GateLimits),
    /// Make a sync call. Its reply goes to the inbox that the call names.
    Call(Arc<SyncCall>),
    /// The caller of this inbox no longer waits.
    CallerGone(InboxId),
}

/// Drives a dispatcher until it has stopped. Dropping the future cancels all executions and
/// disables inline claims.
pub async fn drive<S: DispatchStore, E: Executor, I: InboxResolver>(
    config: Config,
    boot: Boot,
    ports: DriverPorts<S, E, I>,
    commands: mpsc::Receiver<Command>,
) {
    let dispatcher = Dispatcher::new(config, boot, ports.clock.now());
    drive_dispatcher(dispatcher, config.lease_for(), ports, commands).await;
}

/// Drives a dispatcher like [`drive`]. `lease_for` is the length of its leases.
pub async fn drive_dispatcher<D: Drivable, S: DispatchStore, E: Executor, I: InboxResolver>(
    dispatcher: D,
    lease_for: Micros,
    ports: DriverPorts<S, E, I>,
    mut commands: mpsc::Receiver<Command>,
) {
    let DriverPorts { store, executor, inboxes, clock, mut observer, wake, view } = ports;
    let (tasks, mut answers) = Tasks::new(store, executor, inboxes);
    let mut driver = Driver { dispatcher, clock, tasks, inline_rows: 0, shutdown: Shutdown::new(wake.clone()) };
    let mut commands_open = true;

    loop {
        driver.count_inline_rows(wake.pause_inline_claims());
        let wake_at = loop {
            match driver.dispatcher.poll() {
                Output::Action(action) => driver.tasks.perform(action),
                Output::Fact(fact) => observer.observe(&fact),
                Output::Idle { wake_at, .. } => break wake_at,
                Output::Stopped => return,
            }
        };
        driver.tasks.executions.start_added();
        let current_view = driver.dispatcher.view();
        wake.set_inline_room(driver.dispatcher.inline_room(), lease_for);
        view.send_replace(current_view);
        let wake_at = wake_at.map(|at| driver.clock.when(at));
        let timer_at = wake_at.into_iter().chain(driver.tasks.executions.next_check()).min();
        let timer_at = timer_at.unwrap_or_else(|| Instant::now() + IDLE_WAIT);
        // Biased, because a random order could not be replayed. Answers are handled before
        // commands, because answers free permits.
        let event = tokio::select! {
            biased;
            () = driver.shutdown.inline_claims_ended() => Event::InlineClaimsEnded,
            Some(answer) = answers.recv() => Event::Answer(answer),
            command = commands.recv(), if commands_open => {
                commands_open = command.is_some();
                Event::Command(command.unwrap_or(Command::Shutdown))
            }
            wake_up = wake.next_wake_up() => Event::WakeUp(wake_up),
            () = sleep_until(timer_at) => Event::Timer,
        };
        driver.handle(event);
        // Handle all answers and commands that have arrived before the next poll, so that one
        // exchange settles their deliveries together.
        while let Ok(answer) = answers.try_recv() {
            driver.handle(Event::Answer(answer));
        }
        while let Ok(command) = commands.try_recv() {
            driver.handle(Event::Command(command));
        }
    }
}

/// How long the loop sleeps if the dispatcher sets no timer and only an event can cause work.
const IDLE_WAIT: Duration = Duration::from_secs(3_600);

/// An event that ends a wait of the loop.
enum Event {
    Answer(Answer),
    Command(Command),
    WakeUp(WakeUp),
    /// A shutdown no longer waits for the inline claim in flight.
    InlineClaimsEnded,
    Timer,
}

struct Driver<D, S, E, I> {
    dispatcher: D,
    clock: Box<dyn Clock>,
    /// Dropped before the tasks: no inline claim may begin when they are aborted.
    shutdown: Shutdown,
    tasks: Tasks<S, E, I>,
    /// Rows of the inline claim in flight, as the dispatcher was last told.
    inline_rows: u32,
}

impl<D: Drivable, S: DispatchStore, E: Executor, I: InboxResolver> Driver<D, S, E, I> {
    fn handle(&mut self, event: Event) {
        match event {
            Event::Answer(Answer::Input(input)) => self.handle_answers([input]),
            Event::Answer(Answer::Burst) => {
                let ended = self.tasks.executions.take_ended();
                self.handle_answers(ended);
            }
            Event::Command(Command::Shutdown) => self.shutdown.begin(),
            Event::Command(Command::ChangeGate(limits)) => self.handle_input(Input::GateChanged { limits }),
            Event::Command(Command::Call(call)) => self.handle_input(Input::SyncCalled { call }),
            Event::Command(Command::CallerGone(inbox)) => self.handle_input(Input::CallerGone { inbox }),
            Event::WakeUp(wake_up) => self.handle_wake_up(wake_up),
            Event::InlineClaimsEnded => {
                let last = self.shutdown.end_wait();
                self.handle_wake_up(last);
                self.handle_input(Input::ShutdownRequested);
            }
            Event::Timer => {
                let ended = self.tasks.executions.check_runner();
                self.handle_answers(ended);
                self.handle_input(Input::Tick);
            }
        }
    }

    /// Handles answers that arrived together, with one reading of the clock.
    fn handle_answers(&mut self, answers: impl IntoIterator<Item = Input>) {
        let now = self.clock.now();
        for answer in answers {
            if let Input::ExecutionEnded { op, .. } = answer {
                self.tasks.executions.remove_ended(op);
            }
            self.dispatcher.handle(now, answer);
        }
    }

    /// Tells the dispatcher how many rows the inline claim in flight may return.
    fn count_inline_rows(&mut self, rows: u32) {
        if self.inline_rows != 0 || rows != 0 {
            self.inline_rows = rows;
            self.handle_input(Input::InlineClaimInFlight { rows });
        }
    }

    /// The lanes are handled before the rows of an inline claim, because rows that wait in a lane
    /// are older and run first.
    fn handle_wake_up(&mut self, WakeUp { lanes, discover, inline_batch }: WakeUp) {
        self.handle_input(Input::WakeUp { lanes, discover });
        if let Some(InlineBatch { deliveries, started_at }) = inline_batch {
            // Read the clock before the age, so that `begun_at` is not after the true moment.
            let now = self.clock.now();
            let age_us = u64::try_from(started_at.elapsed().as_micros()).unwrap_or(u64::MAX);
            let begun_at = Mono(now.0.saturating_sub(age_us));
            self.handle_input(Input::InlineClaim { claimed: deliveries, begun_at });
        }
    }

    fn handle_input(&mut self, input: Input) {
        self.dispatcher.handle(self.clock.now(), input);
    }
}
