//! The tasks of the loop: store calls, executions and replies.
//!
//! Each task sends its answer over one channel. The channel is unbounded, but the number of tasks
//! is not: the dispatcher limits the store calls in flight, and the permits of its gate limit the
//! executions.

use crate::executions::{Executions, message};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tidegate_core::{Action, Input, Reply, Request, StoreError};
use tidegate_ports::{DispatchStore, Executor, InboxResolver, ReplyOutcome};
use tokio::sync::mpsc;

/// An answer of a task.
pub(crate) enum Answer {
    /// An input for the dispatcher, from one task.
    Input(Input),
    /// A burst of executions has ended. [`Executions`] has their outcomes.
    Burst,
}

/// The tasks of one loop. Dropping this value cancels all executions. Store calls and replies run
/// to their end.
pub(crate) struct Tasks<S, E, I> {
    store: Arc<S>,
    inboxes: Arc<I>,
    answers: mpsc::UnboundedSender<Answer>,
    pub(crate) executions: Executions<E>,
}

impl<S: DispatchStore, E: Executor, I: InboxResolver> Tasks<S, E, I> {
    /// Returns a value without tasks, and the channel over which their answers arrive.
    pub(crate) fn new(store: Arc<S>, executor: Arc<E>, inboxes: Arc<I>) -> (Self, mpsc::UnboundedReceiver<Answer>) {
        let (sender, answers) = mpsc::unbounded_channel();
        let executions = Executions::new(executor, sender.clone());
        (Self { store, inboxes, answers: sender, executions }, answers)
    }

    /// Performs an action. An execution only starts when the loop is about to wait.
    pub(crate) fn perform(&mut self, action: Action) {
        match action {
            Action::CallStore { op, request } => {
                let (store, answers) = (Arc::clone(&self.store), self.answers.clone());
                tokio::spawn(async move {
                    let result = call(&*store, request).await;
                    // The receiver is gone only after the dispatcher has stopped.
                    answers.send(Answer::Input(Input::StoreAnswered { op, result })).ok();
                });
            }
            Action::Execute { op, delivery } => self.executions.add(op, delivery),
            Action::Reply { op, inbox, reply } => {
                let (inboxes, answers) = (Arc::clone(&self.inboxes), self.answers.clone());
                tokio::spawn(async move {
                    let delivered = inboxes.deliver(inbox, reply).await == ReplyOutcome::Delivered;
                    answers.send(Answer::Input(Input::ReplyDelivered { op, delivered })).ok();
                });
            }
            Action::Cancel { op } => self.executions.cancel(op),
        }
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
