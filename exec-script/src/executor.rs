//! The executor: a delivery in, an outcome out, at the latest a little after its timeout.

use crate::acting::acting;
use crate::host::Host;
use crate::isolate::{Guard, run, timed_out};
use crate::limits::Limits;
use crate::pool::Pool;
use crate::reply::Answer;
use crate::sources::Sources;
use crate::staged::Staged;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tidegate_core::{CloudEvent, Delivery, ExecError, Failure, Handler, Outcome, Principal};
use tidegate_driver::{Executor, KvStore, PrincipalResolver, Script, ScriptStore};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// How long after its timeout a script may still answer. The guard ends it at the timeout, unless it is in a built-in
/// that cannot be interrupted.
const GRACE: Duration = Duration::from_millis(500);
/// Threads that may be stuck at once. Each holds its script's memory; beyond this no script is started.
const ABANDONED_MAX: usize = 64;

/// Runs scripts.
pub struct ScriptExecutor {
    sources: Sources,
    kv: Arc<dyn KvStore>,
    principals: Arc<dyn PrincipalResolver>,
    limits: Limits,
    pool: Pool,
}

impl std::fmt::Debug for ScriptExecutor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScriptExecutor").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// What the executor's threads are doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Threads that run scripts or wait for some.
    pub threads: usize,
    /// Threads that are stuck in a built-in after their execution was given up.
    pub abandoned: usize,
}

impl ScriptExecutor {
    /// Runs scripts of `scripts` against the values of `kv`, as whom `principals` says.
    #[must_use]
    pub fn new(
        scripts: Arc<dyn ScriptStore>,
        kv: Arc<dyn KvStore>,
        principals: Arc<dyn PrincipalResolver>,
        limits: Limits,
    ) -> Self {
        Self { sources: Sources::new(scripts), kv, principals, limits, pool: Pool::new(limits.threads_max) }
    }

    /// What its threads are doing.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats { threads: self.pool.threads(), abandoned: self.pool.abandoned() }
    }

    async fn script(&self, delivery: &Delivery) -> Result<Arc<Script>, Failure> {
        let Some(Handler::Script(name)) = &delivery.handler else {
            return Err(Failure::new(ExecError::HandlerMissing, "the trigger has no script to run"));
        };
        match self.sources.get(&delivery.event.app, name, delivery.script_version).await {
            Ok(Some(script)) => Ok(script),
            Ok(None) => Err(Failure::new(ExecError::HandlerMissing, format!("there is no script {name}"))),
            Err(error) => Err(Failure::new(ExecError::Internal, format!("the script could not be read: {error}"))),
        }
    }
}

impl Executor for ScriptExecutor {
    async fn execute(&self, delivery: Arc<Delivery>) -> Outcome {
        if self.pool.abandoned() >= ABANDONED_MAX {
            let message = format!("{ABANDONED_MAX} scripts are stuck in built-ins; none is started until one ends");
            return Outcome::Failed(Failure::new(ExecError::Internal, message));
        }
        let principal = match acting(&*self.principals, &delivery).await {
            Ok(principal) => principal,
            Err(failure) => return Outcome::Failed(failure),
        };
        let script = match self.script(&delivery).await {
            Ok(script) => script,
            Err(failure) => return Outcome::Failed(failure),
        };
        let timeout = Duration::from_micros(delivery.timeout.0);
        let cancel = Cancel(Arc::default());
        let guard = Guard::new(timeout, self.limits.cpu_max(), Arc::clone(&cancel.0));
        let (answer, answered) = oneshot::channel();
        let execution = Execution {
            delivery,
            principal,
            script,
            guard,
            kv: Arc::clone(&self.kv),
            limits: self.limits,
            runtime: Handle::current(),
        };
        let ticket = self.pool.submit(move || {
            // The receiver is gone if the execution was given up.
            answer.send(execution.run()).ok();
        });
        match tokio::time::timeout(timeout + GRACE, answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Outcome::Failed(Failure::new(ExecError::Internal, "the script's thread panicked")),
            Err(_) => {
                ticket.abandon();
                let mut failure = timed_out(timeout);
                failure
                    .message
                    .push_str("; it is in a built-in that cannot be interrupted, and its thread was given up");
                Outcome::Failed(failure)
            }
        }
    }
}

/// Ends the script when the execution is dropped.
struct Cancel(Arc<AtomicBool>);

impl Drop for Cancel {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// All that a thread needs.
struct Execution {
    delivery: Arc<Delivery>,
    principal: Principal,
    script: Arc<Script>,
    guard: Guard,
    kv: Arc<dyn KvStore>,
    limits: Limits,
    runtime: Handle,
}

impl Execution {
    fn run(self) -> Outcome {
        let Self { delivery, principal, script, guard, kv, limits, runtime } = self;
        // Not by way of a `Value`, so that the data's text goes through as it is.
        let event = serde_json::to_string(&CloudEvent::from(&delivery.event)).unwrap_or_default();
        let info = serde_json::json!({
            "app": delivery.event.app,
            "trigger": delivery.trigger_name,
            "attempt": delivery.attempt,
            "maxAttempts": delivery.policy.max_attempts(),
            "idempotencyKey": delivery.idempotency_key(),
            "fencingToken": delivery.lease,
            "executionId": delivery.claim().to_string(),
        });
        let answer = Answer::of(&delivery);
        let host = Host {
            delivery,
            principal,
            kv,
            runtime,
            limits,
            deadline: guard.deadline,
            cancelled: Arc::clone(&guard.cancelled),
            staged: Staged::default(),
            logged: 0,
        };
        let host = Rc::new(RefCell::new(host));
        match run(script.name.as_str(), &script.source, &event, &info.to_string(), &host, &guard, answer) {
            Ok(reply) => {
                let staged = std::mem::take(&mut host.borrow_mut().staged);
                Outcome::Succeeded { effects: staged.into_effects(), reply }
            }
            Err(failure) => Outcome::Failed(failure),
        }
    }
}
