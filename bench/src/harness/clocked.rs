//! A handler that takes down how long after its emit it was started. Emitter and handler are in one process, so both read
//! the same clock.

use super::handlers::done;
use anyhow::Context as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tidegate_core::{Delivery, Json, Outcome};
use tidegate_ports::Executor;

/// Times the deliveries of one trigger; those of all others take `slow`, like a handler that waits for somebody else.
#[derive(Debug)]
pub(crate) struct Clocked {
    trigger: &'static str,
    slow: Duration,
    began: Instant,
    waited_ms: Mutex<Vec<f64>>,
}

impl Clocked {
    /// Times the deliveries of `trigger`.
    #[must_use]
    pub(crate) fn of(trigger: &'static str, slow: Duration) -> Self {
        Self { trigger, slow, began: Instant::now(), waited_ms: Mutex::default() }
    }

    /// The data of an event that is emitted at this moment.
    pub(crate) fn stamp(&self) -> anyhow::Result<Json> {
        let micros = self.began.elapsed().as_micros();
        Json::parse(&format!(r#"{{"at":{micros},"customer":"ada","total":12.50}}"#)).context("a stamp is JSON")
    }

    /// How many were started.
    #[must_use]
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Milliseconds from just before the emit until the start of the handler, one by one; it begins anew.
    pub(crate) fn take(&self) -> Vec<f64> {
        std::mem::take(&mut self.lock())
    }

    /// Waits until so many were started, or until nothing comes any more.
    pub(crate) async fn wait_for(&self, count: usize) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.count() < count {
            anyhow::ensure!(Instant::now() < deadline, "only {} of {count} handlers were started", self.count());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<f64>> {
        self.waited_ms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For whatever was emitted already.
const PATIENCE: Duration = Duration::from_secs(30);

impl Executor for Clocked {
    async fn execute(&self, delivery: Arc<Delivery>) -> Outcome {
        if delivery.trigger_name.as_str() != self.trigger {
            tokio::time::sleep(self.slow).await;
            return done();
        }
        let started = self.began.elapsed();
        if let Some(emitted) = emitted_at(delivery.event.data.as_str()) {
            self.lock().push(started.saturating_sub(emitted).as_secs_f64() * 1e3);
        }
        done()
    }
}

/// Reads what [`Clocked::stamp`] wrote; a store may have put spaces into it.
fn emitted_at(data: &str) -> Option<Duration> {
    let data: serde_json::Value = serde_json::from_str(data).ok()?;
    data["at"].as_u64().map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_can_be_read_back() {
        let clocked = Clocked::of("t", Duration::ZERO);
        let stamp = clocked.stamp().unwrap();
        assert!(emitted_at(stamp.as_str()).unwrap() <= clocked.began.elapsed());
        assert_eq!(emitted_at(r#"{ "at": 7 }"#), Some(Duration::from_micros(7)));
    }
}
