//! The executor: a delivery in, an outcome out, at the latest a little after its timeout.

use crate::acting::acting;
use crate::execution::Execution;
use crate::guard::{Guard, timed_out};
use crate::isolations::Isolations;
use crate::ledger::Ledger;
use crate::limits::Limits;
use crate::pool::Pool;
use crate::shelf::Key;
use crate::sources::{Source, Sources};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tidegate_core::{Delivery, ExecError, Failure, Handler, Isolation, Outcome};
use tidegate_ports::{Executor, KvStore, PrincipalResolver, ScriptStore, TriggerStore};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// How long after its timeout a script may still answer. The guard ends it at the timeout, unless it is in a built-in
/// that cannot be interrupted.
const GRACE: Duration = Duration::from_millis(500);
/// Threads that may be stuck at once. Each holds its script's memory; beyond this no script is started.
const ABANDONED_MAX: usize = 64;

/// What scripts run on.
#[derive(Clone)]
pub struct World {
    /// Their sources.
    pub scripts: Arc<dyn ScriptStore>,
    /// What is asked of their isolation.
    pub triggers: Arc<dyn TriggerStore>,
    /// The values that they read.
    pub kv: Arc<dyn KvStore>,
    /// As whom they run.
    pub principals: Arc<dyn PrincipalResolver>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

/// Runs scripts.
pub struct ScriptExecutor {
    sources: Sources,
    isolations: Isolations,
    kv: Arc<dyn KvStore>,
    principals: Arc<dyn PrincipalResolver>,
    limits: Limits,
    ledger: Arc<Ledger>,
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
    /// Isolates that wait, warm, for their next execution.
    pub warm_isolates: usize,
    /// What these hold together.
    pub warm_bytes: usize,
}

impl ScriptExecutor {
    /// Runs scripts on `world`.
    #[must_use]
    pub fn new(world: World, limits: Limits) -> Self {
        let World { scripts, triggers, kv, principals } = world;
        let ledger = Arc::new(Ledger::new(limits.warm_isolates_max, limits.warm_bytes_max));
        let pool = Pool::new(limits.threads_max, Arc::clone(&ledger));
        let (sources, isolations) = (Sources::new(scripts), Isolations::new(triggers));
        Self { sources, isolations, kv, principals, limits, ledger, pool }
    }

    /// What its threads are doing.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (warm_isolates, warm_bytes) = self.ledger.totals();
        let (threads, abandoned) = (self.pool.threads(), self.pool.abandoned());
        Stats { threads, abandoned, warm_isolates, warm_bytes }
    }

    async fn script(&self, delivery: &Delivery) -> Result<Arc<Source>, Failure> {
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
        let source = match self.script(&delivery).await {
            Ok(source) => source,
            Err(failure) => return Outcome::Failed(failure),
        };
        let key = match self.isolations.of(&delivery).await {
            Isolation::Warm if self.limits.warm_isolates_max > 0 => Some(Key::new(&delivery, &source)),
            Isolation::Warm | Isolation::Fresh => None,
        };
        let timeout = Duration::from_micros(delivery.timeout.0);
        let cancel = Cancel(Arc::default());
        let guard = Guard::new(timeout, self.limits.cpu_max(), Arc::clone(&cancel.0));
        let (answer, answered) = oneshot::channel();
        let bit = key.as_ref().map_or(0, Key::bit);
        let execution = Execution {
            delivery,
            principal,
            source,
            key,
            guard,
            kv: Arc::clone(&self.kv),
            limits: self.limits,
            runtime: Handle::current(),
        };
        let ticket = self.pool.submit(
            bit,
            Box::new(move |shelf, pause| {
                let (outcome, used_up) = execution.run(shelf, pause);
                Box::new(move |shelf| {
                    // The receiver is gone if the execution was given up.
                    answer.send(outcome).ok();
                    // Nobody needs to wait until all that it holds is freed.
                    if let Some(used_up) = used_up {
                        shelf.clear_away(used_up);
                    }
                })
            }),
        );
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
