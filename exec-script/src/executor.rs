//! The executor: it takes a delivery and returns its outcome.
//!
//! The handler of a delivery starts within `start_wait_max`, or it does not start. The timeout of
//! the delivery counts from the start, when the script has a thread. The outcome is known at the
//! latest 500 ms after the timeout.

use crate::acting::acting;
use crate::execution::Execution;
use crate::guard::timed_out;
use crate::idle_registry::IdleRegistry;
use crate::isolate_cache::CacheKey;
use crate::isolations::Isolations;
use crate::limits::Limits;
use crate::pool::{JobHandle, Pool};
use crate::sources::{Source, Sources};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tidegate_core::{AppName, Delivery, ExecError, Failure, Handler, Isolation, Outcome, Principal};
use tidegate_ports::{Executor, KvStore, PrincipalResolver, ScriptStore, StartWait, TriggerStore};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// The time after its timeout in which a script may still answer. The guard ends a script at its
/// timeout, unless the script is in a built-in function, which cannot be interrupted.
const GRACE: Duration = Duration::from_millis(500);

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
    /// The longest wait for the store and for a thread before a handler starts.
    start_wait_max: Duration,
    registry: Arc<IdleRegistry>,
    pool: Pool,
}

impl std::fmt::Debug for ScriptExecutor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScriptExecutor").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// The threads and warm isolates of an executor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Threads that run scripts or are idle. Stuck threads are not counted.
    pub threads: usize,
    /// Executions that wait for a thread.
    pub waiting: usize,
    /// Threads of each app that are stuck in a built-in function, after their execution has timed
    /// out. An app without such threads is not listed.
    pub stuck: BTreeMap<AppName, usize>,
    /// Warm isolates that are idle.
    pub warm_isolates: usize,
    /// Bytes that these isolates hold together.
    pub warm_bytes: usize,
}

impl ScriptExecutor {
    /// An executor without threads. It starts threads as it needs them. `start_wait_max` is the
    /// longest time until a handler starts, see `Config::start_wait_max`.
    #[must_use]
    pub fn new(world: World, limits: Limits, start_wait_max: Duration) -> Self {
        let World { scripts, triggers, kv, principals } = world;
        let registry = Arc::new(IdleRegistry::new(limits.warm_isolates_max, limits.warm_bytes_max));
        let pool = Pool::new(&limits, Arc::clone(&registry));
        let (sources, isolations) = (Sources::new(scripts), Isolations::new(triggers));
        Self { sources, isolations, kv, principals, limits, start_wait_max, registry, pool }
    }

    /// The current numbers of threads and warm isolates.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (warm_isolates, warm_bytes) = self.registry.totals();
        let (threads, waiting, stuck) = (self.pool.threads(), self.pool.queued(), self.pool.stuck());
        Stats { threads, waiting, stuck, warm_isolates, warm_bytes }
    }

    fn stuck_reason(&self, app: &AppName) -> String {
        let max = self.limits.app_computing_max;
        format!(
            "{max} scripts of the app {app} are stuck in built-in functions, as many as scripts.app_computing_max allows"
        )
    }

    /// Why a script of `app` has waited for `wait_ms`.
    fn waited_reason(&self, app: &AppName, wait_ms: u128) -> String {
        if self.pool.has_room(app) {
            return format!("no thread became free within {wait_ms} ms");
        }
        let max = self.limits.total_memory_bytes_max;
        format!(
            "the running scripts may use all {max} bytes of scripts.total_memory_bytes_max, and none ended within {wait_ms} ms"
        )
    }

    /// Reads from the store what an execution of `delivery` needs. Returns the outcome of the
    /// delivery if its script cannot be executed.
    async fn read(&self, delivery: &Delivery) -> Result<Readings, Outcome> {
        let principal = acting(&*self.principals, delivery).await?;
        let source = self.source(delivery).await?;
        let key = match self.isolations.of(delivery).await {
            Isolation::Warm if self.limits.warm_isolates_max > 0 => Some(CacheKey::new(delivery, &source)),
            Isolation::Warm | Isolation::Fresh => None,
        };
        Ok(Readings { principal, source, key })
    }

    async fn source(&self, delivery: &Delivery) -> Result<Arc<Source>, Outcome> {
        let missing = |message| Outcome::Failed(Failure::new(ExecError::HandlerMissing, message));
        let Some(Handler::Script(name)) = &delivery.handler else {
            return Err(missing("the trigger has no script to run".to_owned()));
        };
        let app = &delivery.event.app;
        match self.sources.get(app, name, delivery.script_version).await {
            Ok(Some(source)) => Ok(source),
            Ok(None) => Err(missing(format!("the app {app} has no script {name}; deploy the script and try again"))),
            Err(error) => Err(not_started(format!("the store could not read the script {name}: {error}"))),
        }
    }

    /// Submits an execution to the pool. Its outcome arrives over the returned channel.
    fn submit(&self, delivery: &Arc<Delivery>, readings: Readings) -> (Running, oneshot::Receiver<Outcome>) {
        let Readings { principal, source, key } = readings;
        let cancelled: Arc<AtomicBool> = Arc::default();
        let (outcome_sender, outcome) = oneshot::channel();
        let bit = key.as_ref().map_or(0, CacheKey::bit);
        let execution = Execution {
            delivery: Arc::clone(delivery),
            principal,
            source,
            key,
            cancelled: Arc::clone(&cancelled),
            kv: Arc::clone(&self.kv),
            limits: self.limits,
            runtime: Handle::current(),
        };
        let job = self.pool.submit(delivery.event.app.clone(), bit, |pause| {
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
        (Running { job, cancelled, delivery: Arc::clone(delivery), is_over: false }, outcome)
    }
}

impl Executor for ScriptExecutor {
    async fn execute(&self, delivery: Arc<Delivery>, start_wait: &StartWait) -> Outcome {
        let app = &delivery.event.app;
        let start_by = Instant::now() + self.start_wait_max;
        let wait_ms = self.start_wait_max.as_millis();
        if self.pool.is_stuck(app) {
            return not_started(self.stuck_reason(app));
        }
        let readings = match tokio::time::timeout_at(start_by, self.read(&delivery)).await {
            Ok(Ok(readings)) => readings,
            Ok(Err(outcome)) => {
                // An execution that fails without its handler has run for no time.
                start_wait.end();
                return outcome;
            }
            Err(_) => return not_started(format!("the store did not answer within {wait_ms} ms")),
        };
        let time = Duration::from_micros(delivery.timeout.0) + GRACE;
        let (mut running, mut outcome) = self.submit(&delivery, readings);
        let mut check_at = start_by.min(Instant::now() + time);
        loop {
            if let Ok(ended) = tokio::time::timeout_at(check_at, &mut outcome).await {
                running.is_over = true;
                running.report_start(start_wait);
                return ended.unwrap_or_else(|_| {
                    Outcome::Failed(Failure::new(ExecError::Internal, "the script's thread panicked"))
                });
            }
            check_at = match running.job.started_at() {
                Some(started_at) => Instant::from_std(started_at) + time,
                None => start_by,
            };
            if check_at > Instant::now() {
                continue;
            }
            if running.job.withdraw() {
                return not_started(self.waited_reason(app, wait_ms));
            }
            if running.declare_stuck() {
                running.report_start(start_wait);
                return still_running(Duration::from_micros(delivery.timeout.0));
            }
            // The script has just started or just ended.
            check_at = Instant::now() + GRACE;
        }
    }
}

/// What an execution needs from the store.
struct Readings {
    principal: Principal,
    source: Arc<Source>,
    key: Option<CacheKey>,
}

/// An execution that was submitted. Dropping it cancels the execution.
struct Running {
    job: JobHandle,
    cancelled: Arc<AtomicBool>,
    delivery: Arc<Delivery>,
    /// Whether the outcome is known.
    is_over: bool,
}

impl Running {
    fn report_start(&self, start_wait: &StartWait) {
        if let Some(started_at) = self.job.started_at() {
            start_wait.end_at(Instant::from_std(started_at));
        }
    }

    fn declare_stuck(&mut self) -> bool {
        self.is_over = declare_stuck(&self.job, &self.delivery);
        self.is_over
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
        if self.is_over || self.job.withdraw() {
            return;
        }
        // A script that is in a built-in function does not notice the cancellation.
        let (job, delivery) = (self.job.clone(), Arc::clone(&self.delivery));
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                tokio::time::sleep(GRACE).await;
                declare_stuck(&job, &delivery);
            });
        }
    }
}

/// Declares that the script of `delivery` is stuck, if it still runs.
fn declare_stuck(job: &JobHandle, delivery: &Delivery) -> bool {
    let is_stuck = job.declare_stuck();
    if is_stuck {
        tracing::warn!(
            app = delivery.event.app.as_str(),
            trigger = delivery.trigger_name.as_str(),
            delivery.id = delivery.id.0,
            "a script is stuck in a built-in function, which cannot be interrupted; its thread ends when the function returns"
        );
    }
    is_stuck
}

fn not_started(reason: String) -> Outcome {
    Outcome::NotStarted { reason }
}

/// The failure of a script that still runs after its timeout.
fn still_running(timeout: Duration) -> Outcome {
    let mut failure = timed_out(timeout);
    failure
        .message
        .push_str("; it is still in a built-in function, which cannot be interrupted, so its thread is stuck");
    Outcome::Failed(failure)
}
