//! Metrics in Prometheus' text format. What happened is counted from the dispatcher's facts, what is so is read when it is
//! asked for; `docs/metrics.md` names each with its unit, and a test holds the two together.

mod facts;
mod measured;
mod names;
mod scrape;

pub(crate) use facts::MetricsObserver;
pub(crate) use measured::MeasuredStore;
pub use scrape::Scraper;

use metrics::with_local_recorder;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// One daemon's metrics. Cheap to clone.
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

const UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// From half a millisecond to a minute: each bucket about twice the one before.
const SECONDS: [f64; 17] =
    [0.000_5, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 60.0];

impl Default for Metrics {
    fn default() -> Self {
        let suffix = Matcher::Suffix("_seconds".to_owned());
        let builder = PrometheusBuilder::new().set_buckets_for_metric(suffix, &SECONDS);
        let recorder = builder.expect("there are buckets").build_recorder();
        let metrics = Self { handle: recorder.handle(), recorder: Arc::new(recorder) };
        metrics.record(names::describe);
        metrics
    }
}

impl Metrics {
    /// Counts into these metrics whatever `count` counts.
    fn record<T>(&self, count: impl FnOnce() -> T) -> T {
        // Not a global recorder: one process may run several daemons, as tests do.
        with_local_recorder(&*self.recorder, count)
    }

    /// The text of all of them.
    fn text(&self) -> String {
        self.handle.render()
    }

    /// Sorts samples into their buckets, for ever: histograms that nobody asks for would keep every sample.
    pub(crate) async fn upkeep(self) {
        loop {
            tokio::time::sleep(UPKEEP_EVERY).await;
            self.handle.run_upkeep();
        }
    }
}
