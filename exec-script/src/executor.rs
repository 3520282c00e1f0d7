//! The executor: it takes a delivery and returns its outcome, at the latest 500 ms after the
//! timeout of the delivery.

use crate::acting::acting;
use crate::execution::Execution;
use crate::guard::{Guard, timed_out};
use crate::idle_registry::IdleRegistry;
use crate::isolate_cache::CacheKey;
use crate::isolations::Isolations;
use crate::limits::Limits;
use crate::pool::Pool;
use crate::sources::{Source, Sources};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tidegate_core::{Delivery, ExecError, Failure, Handler, Isolation, Outcome};
use tidegate_ports::{Executor, KvStore, PrincipalResolver, ScriptStore, TriggerStore};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// The time after its timeout in which a script may still answer. The guard ends a script at its
/// timeout, unless the script is in a built-in function, which cannot be interrupted.
const GRACE: Duration = Duration::from_millis(500);
/// The most threads that may be stuck at once. Each of them holds the memory of its script. While
/// this limit is reached, no script starts.
const ABANDONED_MAX: usize = 64;

/// The ports that the executor uses.
#[derive(Clone)]
pub struct World {
    /// The sources of the scripts.
    pub scripts: Arc<dyn ScriptStore>,
    /// The triggers, for their `isolation` setting.
    pub triggers: Arc<dyn TriggerStore>,
    /// The values that scripts read.
    pub kv: Arc<dyn KvStore>,
    /// The principals that scripts run as.
    pub principals: Arc<dyn PrincipalResolver>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

/// Runs scripts in isolates, on a pool of threads.
pub struct ScriptExecutor {
    sources: Sources,
    isolations: Isolations,
    kv: Arc<dyn KvStore>,
    principals: Arc<dyn PrincipalResolver>,
    limits: Limits,
    registry: Arc<IdleRegistry>,
    pool: Pool,
}

impl std::fmt::Debug for ScriptExecutor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScriptExecutor").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// The threads and warm isolates of an executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Threads that run scripts or are idle. Abandoned threads are not counted.
    pub threads: usize,
    /// Threads that are stuck in a built-in function, after their execution has timed out.
    pub abandoned: usize,
    /// Warm isolates that are idle.
    pub warm_isolates: usize,
    /// Bytes that these isolates hold together.
    pub warm_bytes: usize,
}

impl ScriptExecutor {
    /// An executor without threads. It starts threads as it needs them.
    #[must_use]
    pub fn new(world: World, limits: Limits) -> Self {
        let World { scripts, triggers, kv, principals } = world;
        let registry = Arc::new(IdleRegistry::new(limits.warm_isolates_max, limits.warm_bytes_max));
        let pool = Pool::new(limits.threads_max, Arc::clone(&registry));
        let (sources, isolations) = (Sources::new(scripts), Isolations::new(triggers));
        Self { sources, isolations, kv, principals, limits, registry, pool }
    }

    /// The current numbers of threads and warm isolates.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (warm_isolates, warm_bytes) = self.registry.totals();
        let (threads, abandoned) = (self.pool.threads(), self.pool.abandoned());
        Stats { threads, abandoned, warm_isolates, warm_bytes }
    }

    async fn script(&self, delivery: &Delivery) -> Result<Arc<Source>, Failure> {
        let Some(Handler::Script(name)) = &delivery.handler else {
            return Err(Failure::new(ExecError::HandlerMissing, "the trigger has no script to run"));
        };
        match self.sources.get(&delivery.event.app, name, delivery.script_version).await {
            Ok(Some(script)) => Ok(script),
            Ok(None) => {
                let message =
                    format!("the app {} has no script {name}; deploy the script and try again", delivery.event.app);
                Err(Failure::new(ExecError::HandlerMissing, message))
            }
            Err(error) => {
                let message = format!("the store could not read the script {name}: {error}");
                Err(Failure::new(ExecError::Internal, message))
            }
        }
    }
}

impl Executor for ScriptExecutor {
    async fn execute(&self, delivery: Arc<Delivery>) -> Outcome {
        if self.pool.abandoned() >= ABANDONED_MAX {
            let message = format!(
                "{ABANDONED_MAX} scripts are stuck in built-in functions; no script starts until one of them ends"
            );
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
            Isolation::Warm if self.limits.warm_isolates_max > 0 => Some(CacheKey::new(&delivery, &source)),
            Isolation::Warm | Isolation::Fresh => None,
        };
        let timeout = Duration::from_micros(delivery.timeout.0);
        let cancel = CancelOnDrop(Arc::default());
        let guard = Guard::new(timeout, self.limits.cpu_max(), Arc::clone(&cancel.0));
        let (outcome_sender, outcome) = oneshot::channel();
        let bit = key.as_ref().map_or(0, CacheKey::bit);
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
        let job = self.pool.submit(bit, |pause| {
            Box::new(move |cache| {
                let (outcome, used_isolate) = execution.run(cache, pause);
                Box::new(move |cache| {
                    // The receiver is gone if the execution has timed out or was cancelled.
                    outcome_sender.send(outcome).ok();
                    // After the outcome, so that the caller does not wait until the isolate's
                    // memory is freed.
                    if let Some(used_isolate) = used_isolate {
                        cache.dispose(used_isolate);
                    }
                })
            })
        });
        match tokio::time::timeout(timeout + GRACE, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Outcome::Failed(Failure::new(ExecError::Internal, "the script's thread panicked")),
            Err(_) => {
                job.abandon();
                let mut failure = timed_out(timeout);
                failure.message.push_str(
                    "; it is still in a built-in function, which cannot be interrupted, so its thread was abandoned",
                );
                Outcome::Failed(failure)
            }
        }
    }
}

/// Ends the script when the execution's future is dropped.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
