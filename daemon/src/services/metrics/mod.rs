//! Metrics in the text format of Prometheus.
//!
//! Counters and histograms count the facts of the dispatcher. Gauges are read at each scrape.
//! `docs/metrics.md` lists each metric with its unit, and a test compares the two lists.

mod facts;
mod measured;
mod names;
mod scrape;

pub(crate) use facts::MetricsObserver;
pub(crate) use measured::MeasuredStore;
pub(super) use names::PRUNED;
pub use scrape::Scraper;

use metrics::with_local_recorder;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The metrics of one daemon. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
/// The histogram buckets, from half a millisecond to a minute. Each is about twice the one before.
const BUCKETS_SECONDS: [f64; 17] =
    [0.000_5, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 60.0];

impl Default for Metrics {
    fn default() -> Self {
        let suffix = Matcher::Suffix("_seconds".to_owned());
        let builder = PrometheusBuilder::new().set_buckets_for_metric(suffix, &BUCKETS_SECONDS);
        let recorder = builder.expect("the list of buckets is not empty").build_recorder();
        let metrics = Self { handle: recorder.handle(), recorder: Arc::new(recorder) };
        metrics.record(names::describe);
        metrics
    }
}

impl Metrics {
    /// Runs `count`, whose counters and gauges belong to these metrics.
    pub(super) fn record<T>(&self, count: impl FnOnce() -> T) -> T {
        // A local recorder, because one process may run several daemons, as tests do.
        with_local_recorder(&*self.recorder, count)
    }

    /// All metrics in the text format.
    fn text(&self) -> String {
        self.handle.render()
    }

    /// Moves samples to their buckets, every `UPKEEP_INTERVAL`. Never returns. Without this, a
    /// histogram that is not scraped keeps each sample in memory.
    pub(crate) async fn upkeep(self) {
        loop {
            tokio::time::sleep(UPKEEP_INTERVAL).await;
            self.handle.run_upkeep();
        }
    }
}
