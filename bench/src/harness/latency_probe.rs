//! A handler that records the time between an emit and its own start. Emitter and handler are in
//! one process and read the same clock.

use super::handlers::success;
use anyhow::Context as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tidegate_core::{Delivery, Json, Outcome};
use tidegate_ports::{Executor, StartWait};

/// Records the latency of one trigger. Deliveries of other triggers sleep for `slow`, like a
/// handler that waits for IO.
#[derive(Debug)]
pub(crate) struct LatencyProbe {
    trigger: &'static str,
    slow: Duration,
    started_at: Instant,
    waited_ms: Mutex<Vec<f64>>,
}

impl LatencyProbe {
    /// Records the latency of `trigger`.
    #[must_use]
    pub(crate) fn new(trigger: &'static str, slow: Duration) -> Self {
        Self { trigger, slow, started_at: Instant::now(), waited_ms: Mutex::default() }
    }

    /// The data of an event that is emitted now.
    pub(crate) fn stamp(&self) -> anyhow::Result<Json> {
        let micros = self.started_at.elapsed().as_micros();
        Json::parse(&format!(r#"{{"at":{micros},"customer":"ada","total":12.50}}"#)).context("a stamp is JSON")
    }

    /// The number of handlers that have started since the last [`Self::take`].
    #[must_use]
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Removes the latencies and returns them, in milliseconds. A latency begins right before the
    /// emit and ends with the start of the handler.
    pub(crate) fn take(&self) -> Vec<f64> {
        std::mem::take(&mut self.lock())
    }

    /// Waits until `count` handlers have started. Fails after 30 s.
    pub(crate) async fn wait_for(&self, count: usize) -> anyhow::Result<()> {
        let deadline = Instant::now() + WAIT_MAX;
        while self.count() < count {
            anyhow::ensure!(Instant::now() < deadline, "only {} of {count} handlers started", self.count());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<f64>> {
        self.waited_ms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time for the handlers of emitted events to start.
const WAIT_MAX: Duration = Duration::from_secs(30);

impl Executor for LatencyProbe {
    async fn execute(&self, delivery: Arc<Delivery>, start_wait: &StartWait) -> Outcome {
        start_wait.end();
        if delivery.trigger_name.as_str() != self.trigger {
            tokio::time::sleep(self.slow).await;
            return success();
        }
        let start = self.started_at.elapsed();
        if let Some(emitted) = emitted_at(delivery.event.data.as_str()) {
            self.lock().push(start.saturating_sub(emitted).as_secs_f64() * 1e3);
        }
        success()
    }
}

/// Reads the data of [`LatencyProbe::stamp`]. A store may have added spaces.
fn emitted_at(data: &str) -> Option<Duration> {
    let data: serde_json::Value = serde_json::from_str(data).ok()?;
    data["at"].as_u64().map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_can_be_read_back() {
        let probe = LatencyProbe::new("t", Duration::ZERO);
        let stamp = probe.stamp().unwrap();
        assert!(emitted_at(stamp.as_str()).unwrap() <= probe.started_at.elapsed());
        assert_eq!(emitted_at(r#"{ "at": 7 }"#), Some(Duration::from_micros(7)));
    }
}
