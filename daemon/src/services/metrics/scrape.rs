//! What is so now: read when somebody asks.

use super::Metrics;
use super::names;
use metrics::gauge;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidegate_core::{AppName, Timestamp, TriggerName, View};
use tidegate_driver::GateHandle;
use tidegate_ports::{QueueState, QueueStore};

/// How far a queue is counted: more than this is long, however long it is.
const COUNT_MAX: u32 = 1_000;
/// How long the store may take to tell of its queues.
const PATIENCE: Duration = Duration::from_secs(2);

/// Writes the metrics of one daemon. Cheap to clone.
#[derive(Clone)]
pub struct Scraper {
    metrics: Metrics,
    gate: GateHandle,
    queues: Arc<dyn QueueStore>,
    /// The queues that were told of: a gauge that is set once keeps its value, and an empty queue is told of no more.
    told: Arc<Mutex<BTreeSet<(AppName, TriggerName)>>>,
}

impl fmt::Debug for Scraper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scraper").finish_non_exhaustive()
    }
}

impl Scraper {
    /// Of the dispatcher behind `gate`, on a store with these `queues`.
    #[must_use]
    pub fn new(metrics: Metrics, gate: GateHandle, queues: Arc<dyn QueueStore>) -> Self {
        Self { metrics, gate, queues, told: Arc::default() }
    }

    /// The text of all metrics, as they are now.
    pub async fn text(&self) -> String {
        let queues = tokio::time::timeout(PATIENCE, self.queues.queues(COUNT_MAX)).await;
        let queues = queues.ok().and_then(Result::ok);
        let view = self.gate.view();
        self.metrics.record(|| {
            gauge!(names::BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
            gauge!(names::STORE_UP).set(if queues.is_some() { 1.0 } else { 0.0 });
            show(view);
            if let Some((now, queues)) = queues {
                self.show_queues(now, &queues);
            }
        });
        self.metrics.text()
    }

    fn show_queues(&self, now: Timestamp, queues: &[QueueState]) {
        // A panic while holding this lock leaves nothing half done.
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let named = |queue: &QueueState| (queue.app.clone(), queue.trigger.clone());
        for (app, trigger) in told.iter().filter(|at| !queues.iter().any(|queue| named(queue) == **at)) {
            set(app, trigger, 0, 0.0);
        }
        for queue in queues {
            let waited = queue.oldest_due.map_or(0.0, |due| now.since(due).0 as f64 / 1e6);
            set(&queue.app, &queue.trigger, queue.depth, waited);
            told.insert(named(queue));
        }
    }
}

fn set(app: &AppName, trigger: &TriggerName, depth: u32, oldest_due_seconds: f64) {
    let labels = [("app", app.to_string()), ("trigger", trigger.to_string())];
    gauge!(names::DEPTH, &labels).set(f64::from(depth));
    gauge!(names::OLDEST, &labels).set(oldest_due_seconds);
}

fn show(view: View) {
    for (name, value) in [
        (names::RUNNING, view.running),
        (names::PERMITS, view.permits),
        (names::RESERVE, view.sync_reserve),
        (names::QUEUED, view.queued),
        (names::CALLS_WAITING, view.calls_waiting),
        (names::SETTLING, view.settling),
    ] {
        gauge!(name).set(f64::from(value));
    }
}
