//! The executions of one loop.
//!
//! Many handlers end within a few microseconds. A task for each of them, and a wake-up of the loop
//! for each outcome, would cost several times as much as the handler. So the loop collects the
//! executions that start together in a burst. One task, the runner, polls each of them once, in
//! their order. An execution that has not ended then gets a task of its own. The loop receives the
//! outcomes of the others together.
//!
//! One poll may last long, because the handler computes or blocks its thread. Then the loop takes
//! the rest of the burst from the runner, and for the time [`ALONE_FOR`] every execution gets a
//! task of its own at once.

use crate::tasks::Answer;
use futures_util::FutureExt;
use futures_util::future::{AbortHandle, Aborted, abortable};
use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::mem::take;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tidegate_core::{Delivery, ExecError, Failure, Input, OpId, Outcome};
use tidegate_ports::{Executor, StartWait};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Duration, Instant};

/// The runner polls an execution within this time. Otherwise the loop takes it from the runner.
const BURST_FOR: Duration = Duration::from_millis(10);
/// How long there is no burst after one that lasted too long.
const ALONE_FOR: Duration = Duration::from_secs(1);

/// Ends with the outcome for the dispatcher.
type Execution = Pin<Box<dyn Future<Output = Result<Input, Aborted>> + Send>>;

/// The executions of one loop. Dropping this value cancels them.
pub(crate) struct Executions<E> {
    executor: Arc<E>,
    answers: UnboundedSender<Answer>,
    handles: BTreeMap<OpId, AbortHandle>,
    /// Executions that start before the loop waits.
    next: Vec<Execution>,
    burst: Arc<Mutex<Burst>>,
    /// The time at which the runner must have polled this number of executions.
    deadline: Option<(Instant, u64)>,
    alone_until: Option<Instant>,
}

/// The state that the loop and the runner share.
#[derive(Default)]
struct Burst {
    waiting: VecDeque<Execution>,
    ended: Vec<Input>,
    has_runner: bool,
    /// How many executions the runner has taken since the loop began.
    taken: u64,
    /// How many of them it has polled.
    polled: u64,
}

impl<E: Executor> Executions<E> {
    pub(crate) fn new(executor: Arc<E>, answers: UnboundedSender<Answer>) -> Self {
        let (handles, next, burst) = (BTreeMap::new(), Vec::new(), Arc::default());
        Self { executor, answers, handles, next, burst, deadline: None, alone_until: None }
    }

    /// Adds an execution. It starts when the loop calls [`Self::start_added`].
    pub(crate) fn add(&mut self, op: OpId, delivery: Arc<Delivery>) {
        let executor = Arc::clone(&self.executor);
        // Before the task, because the task may wait for the runtime.
        let start_wait = StartWait::begin();
        let (execution, handle) = abortable(async move {
            let outcome = execute(&*executor, delivery, &start_wait).await;
            Input::ExecutionEnded { op, outcome, start_wait: start_wait.length() }
        });
        self.handles.insert(op, handle);
        self.next.push(Box::pin(execution));
    }

    /// Starts the executions that were added.
    pub(crate) fn start_added(&mut self) {
        if self.next.is_empty() {
            return;
        }
        let now = Instant::now();
        if self.alone_until.is_some_and(|until| now < until) {
            return self.next.drain(..).for_each(|execution| run_alone(execution, self.answers.clone()));
        }
        let mut burst = lock(&self.burst);
        burst.waiting.extend(self.next.drain(..));
        if !burst.has_runner {
            burst.has_runner = true;
            tokio::spawn(run(Arc::clone(&self.burst), self.answers.clone()));
            if burst.waiting.len() > 1 {
                // Tokio wakes another thread only when a second task is spawned. That thread
                // watches the timers if the runner blocks this one.
                tokio::spawn(async {});
            }
        }
        if self.deadline.is_none() {
            self.deadline = burst.deadline(now);
        }
    }

    /// When the loop must call [`Self::check_runner`].
    pub(crate) fn next_check(&self) -> Option<Instant> {
        self.deadline.map(|(at, _)| at)
    }

    /// Takes the burst from a runner that is late. Returns the outcomes of the burst.
    pub(crate) fn check_runner(&mut self) -> Vec<Input> {
        let now = Instant::now();
        let Some((_, number)) = self.deadline.filter(|(at, _)| *at <= now) else { return Vec::new() };
        let mut burst = lock(&self.burst);
        if burst.polled >= number {
            self.deadline = burst.deadline(now);
            return Vec::new();
        }
        self.deadline = None;
        self.alone_until = Some(now + ALONE_FOR);
        let (waiting, ended) = (take(&mut burst.waiting), take(&mut burst.ended));
        drop(burst);
        waiting.into_iter().for_each(|execution| run_alone(execution, self.answers.clone()));
        ended
    }

    /// Takes the outcomes of the burst.
    pub(crate) fn take_ended(&mut self) -> Vec<Input> {
        let mut burst = lock(&self.burst);
        if burst.polled == burst.added() {
            self.deadline = None;
        }
        take(&mut burst.ended)
    }

    pub(crate) fn cancel(&mut self, op: OpId) {
        if let Some(handle) = self.handles.remove(&op) {
            handle.abort();
        }
    }

    /// Forgets an execution that has ended.
    pub(crate) fn remove_ended(&mut self, op: OpId) {
        self.handles.remove(&op);
    }
}

impl<E> Drop for Executions<E> {
    fn drop(&mut self) {
        self.handles.values().for_each(AbortHandle::abort);
        // An execution may run code when it is dropped, so it is dropped without the lock.
        let waiting = take(&mut lock(&self.burst).waiting);
        drop(waiting);
    }
}

impl Burst {
    /// How many executions were added since the loop began.
    fn added(&self) -> u64 {
        self.taken + self.waiting.len() as u64
    }

    /// The deadline of the executions that were added until now.
    fn deadline(&self, now: Instant) -> Option<(Instant, u64)> {
        (self.polled < self.added()).then(|| (now + BURST_FOR, self.added()))
    }
}

/// No code panics while it holds the lock, so the state is whole in any case.
fn lock(burst: &Mutex<Burst>) -> MutexGuard<'_, Burst> {
    burst.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The runner: polls each execution of the burst once.
async fn run(burst: Arc<Mutex<Burst>>, answers: UnboundedSender<Answer>) {
    // The task of an execution polls it again at once, so no wake-up is lost.
    let mut context = Context::from_waker(Waker::noop());
    let mut last_ended = None;
    while let Some(mut execution) = next(&burst, last_ended.take()) {
        match execution.as_mut().poll(&mut context) {
            Poll::Ready(result) => last_ended = result.ok(),
            Poll::Pending => run_alone(execution, answers.clone()),
        }
    }
    // The receiver is gone only after the dispatcher has stopped.
    answers.send(Answer::Burst).ok();
}

/// Adds an outcome to the burst and takes its next execution.
fn next(burst: &Mutex<Burst>, ended: Option<Input>) -> Option<Execution> {
    let mut burst = lock(burst);
    burst.polled = burst.taken;
    burst.ended.extend(ended);
    let next = burst.waiting.pop_front();
    if next.is_some() {
        burst.taken += 1;
    } else {
        burst.has_runner = false;
    }
    next
}

/// Runs an execution in a task of its own.
fn run_alone(execution: Execution, answers: UnboundedSender<Answer>) {
    tokio::spawn(async move {
        if let Ok(ended) = execution.await {
            answers.send(Answer::Input(ended)).ok();
        }
    });
}

/// A panic in a handler is a failed attempt and does not end the daemon.
async fn execute<E: Executor>(executor: &E, delivery: Arc<Delivery>, start_wait: &StartWait) -> Outcome {
    // The call is within, because it may panic as well.
    let run = async { executor.execute(delivery, start_wait).await };
    AssertUnwindSafe(run).catch_unwind().await.unwrap_or_else(|panic| {
        Outcome::Failed(Failure::new(ExecError::Internal, format!("the handler panicked: {}", message(&*panic))))
    })
}

/// The message of a panic.
pub(crate) fn message(panic: &(dyn Any + Send)) -> &str {
    let message = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    message.unwrap_or("without a message")
}
