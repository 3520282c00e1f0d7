//! Gauges, which are read at each scrape.

use super::Metrics;
use super::names;
use crate::services::script_threads::{ScriptThreads, ThreadState};
use metrics::gauge;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidegate_core::{AppName, Timestamp, TriggerName, View};
use tidegate_driver::GateHandle;
use tidegate_ports::{QueueState, QueueStore, TriggerStore};

/// The depth of a queue is counted up to this number, so that a long queue does not make scrapes
/// slow.
const DEPTH_MAX: u32 = 1_000;
/// The longest wait for the store. Without an answer, the gauges of the queues keep their last
/// values and `tidegate_store_up` is 0.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// Renders the metrics of one daemon. Cheap to clone.
#[derive(Clone)]
pub struct Scraper {
    metrics: Metrics,
    gate: GateHandle,
    threads: Arc<dyn ScriptThreads>,
    queues: Arc<dyn QueueStore>,
    triggers: Arc<dyn TriggerStore>,
    /// The queues of earlier scrapes. The store does not list empty queues, but a gauge keeps its
    /// value, so the gauges of a queue that is no longer listed must be set to 0.
    shown: Arc<Mutex<BTreeSet<(AppName, TriggerName)>>>,
    /// The apps with stuck threads of earlier scrapes, for the same reason.
    shown_stuck: Arc<Mutex<BTreeSet<AppName>>>,
}

impl fmt::Debug for Scraper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scraper").finish_non_exhaustive()
    }
}

impl Scraper {
    /// Scrapes the dispatcher behind `gate`, its script `threads`, and the `queues` and `triggers`
    /// of its store.
    #[must_use]
    pub fn new(
        metrics: Metrics,
        gate: GateHandle,
        threads: Arc<dyn ScriptThreads>,
        queues: Arc<dyn QueueStore>,
        triggers: Arc<dyn TriggerStore>,
    ) -> Self {
        Self { metrics, gate, threads, queues, triggers, shown: Arc::default(), shown_stuck: Arc::default() }
    }

    /// The current values of all metrics, in the text format.
    pub async fn text(&self) -> String {
        let queues = tokio::time::timeout(STORE_TIMEOUT, self.queues.queues(DEPTH_MAX)).await;
        let queues = queues.ok().and_then(Result::ok);
        let invalid = tokio::time::timeout(STORE_TIMEOUT, self.triggers.invalid()).await;
        let invalid = invalid.ok().and_then(Result::ok);
        let view = self.gate.view();
        self.metrics.record(|| {
            gauge!(names::BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
            gauge!(names::STORE_UP).set(if queues.is_some() { 1.0 } else { 0.0 });
            self.show_executions(view, &self.threads.state());
            if let Some(invalid) = invalid {
                gauge!(names::INVALID).set(invalid.len() as f64);
            }
            if let Some((now, queues)) = queues {
                self.show_queues(now, &queues);
            }
        });
        self.metrics.text()
    }

    /// An execution that waits for a thread holds a permit, and does not run yet.
    fn show_executions(&self, view: View, threads: &ThreadState) {
        for (name, value) in [
            (names::RUNNING, view.running.saturating_sub(threads.waiting)),
            (names::THREADS_WAITING, threads.waiting),
            (names::PERMITS, view.permits),
            (names::SYNC_RESERVE, view.sync_reserve),
            (names::ASYNC_RESERVE, view.async_reserve),
            (names::QUEUED, view.queued),
            (names::CALLS_WAITING, view.calls_waiting),
            (names::SETTLING, view.settling),
        ] {
            gauge!(name).set(f64::from(value));
        }
        let mut shown = self.shown_stuck.lock().unwrap_or_else(PoisonError::into_inner);
        shown.extend(threads.stuck.keys().cloned());
        for app in shown.iter() {
            let stuck = threads.stuck.get(app).copied().unwrap_or_default();
            gauge!(names::STUCK, "app" => app.to_string()).set(stuck as f64);
        }
    }

    fn show_queues(&self, now: Timestamp, queues: &[QueueState]) {
        // A poisoned lock is usable: a panic cannot leave a partial entry in the set.
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let named = |queue: &QueueState| (queue.app.clone(), queue.trigger.clone());
        for (app, trigger) in shown.iter().filter(|at| !queues.iter().any(|queue| named(queue) == **at)) {
            set(app, trigger, 0, 0.0);
        }
        for queue in queues {
            let waited = queue.oldest_due.map_or(0.0, |due| now.since(due).0 as f64 / 1e6);
            set(&queue.app, &queue.trigger, queue.depth, waited);
            shown.insert(named(queue));
        }
    }
}

fn set(app: &AppName, trigger: &TriggerName, depth: u32, oldest_due_seconds: f64) {
    let labels = [("app", app.to_string()), ("trigger", trigger.to_string())];
    gauge!(names::DEPTH, &labels).set(f64::from(depth));
    gauge!(names::OLDEST, &labels).set(oldest_due_seconds);
}
