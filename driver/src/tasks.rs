//! The tasks of the loop: store calls, executions and replies.
//!
//! Each task sends its answer over one channel. The channel is unbounded, but the number of tasks
//! is not: the dispatcher limits the store calls in flight, and the permits of its gate limit the
//! executions.

use futures_util::FutureExt;
use std::any::Any;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tidegate_core::{Action, Delivery, ExecError, Failure, Input, OpId, Outcome, Reply, Request, StoreError};
use tidegate_ports::{DispatchStore, Executor, InboxResolver, ReplyOutcome, StartWait};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// The tasks of one loop. Dropping this value cancels all executions. Store calls and replies run
/// to their end.
pub(crate) struct Tasks<S, E, I> {
    store: Arc<S>,
    executor: Arc<E>,
    inboxes: Arc<I>,
    answers: mpsc::UnboundedSender<Input>,
    executions: BTreeMap<OpId, AbortHandle>,
}

impl<S: DispatchStore, E: Executor, I: InboxResolver> Tasks<S, E, I> {
    /// Returns a value without tasks, and the channel over which their answers arrive.
    pub(crate) fn new(store: Arc<S>, executor: Arc<E>, inboxes: Arc<I>) -> (Self, mpsc::UnboundedReceiver<Input>) {
        let (sender, answers) = mpsc::unbounded_channel();
        (Self { store, executor, inboxes, answers: sender, executions: BTreeMap::new() }, answers)
    }

    pub(crate) fn perform(&mut self, action: Action) {
        let answers = self.answers.clone();
        match action {
            Action::CallStore { op, request } => {
                let store = Arc::clone(&self.store);
                tokio::spawn(async move {
                    let result = call(&*store, request).await;
                    // The receiver is gone only after the dispatcher has stopped.
                    answers.send(Input::StoreAnswered { op, result }).ok();
                });
            }
            Action::Execute { op, delivery } => {
                let executor = Arc::clone(&self.executor);
                // Before the task, because the task may wait for the runtime.
                let start_wait = StartWait::begin();
                let task = tokio::spawn(async move {
                    let outcome = execute(&*executor, delivery, &start_wait).await;
                    let start_wait = start_wait.length();
                    answers.send(Input::ExecutionEnded { op, outcome, start_wait }).ok();
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

    /// Forgets the execution that `answer` reports as ended.
    pub(crate) fn remove_ended(&mut self, answer: &Input) {
        if let Input::ExecutionEnded { op, .. } = answer {
            self.executions.remove(op);
        }
    }
}

impl<S, E, I> Drop for Tasks<S, E, I> {
    fn drop(&mut self) {
        self.executions.values().for_each(AbortHandle::abort);
    }
}

/// A panic in the store has an unknown fate: the transaction may have committed before it.
async fn call<S: DispatchStore>(store: &S, request: Request) -> Result<Reply, StoreError> {
    let name = request.name();
    AssertUnwindSafe(store.call(request))
        .catch_unwind()
        .await
        .unwrap_or_else(|panic| Err(StoreError::unknown(format!("the store panicked in {name}: {}", message(&*panic)))))
}

/// A panic in a handler is a failed attempt and does not end the daemon.
async fn execute<E: Executor>(executor: &E, delivery: Arc<Delivery>, start_wait: &StartWait) -> Outcome {
    AssertUnwindSafe(executor.execute(delivery, start_wait)).catch_unwind().await.unwrap_or_else(|panic| {
        Outcome::Failed(Failure::new(ExecError::Internal, format!("the handler panicked: {}", message(&*panic))))
    })
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let message = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    message.unwrap_or("without a message")
}
