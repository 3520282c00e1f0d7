//! What one execution may use.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The limits of every execution. The wall clock is the trigger's `timeout_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Executions that run at once, each on a thread: 1–10,000. As many as the gate has permits lets none wait.
    pub threads_max: usize,
    /// Bytes that a script may allocate: 1 MiB – 4 GiB.
    pub memory_bytes_max: usize,
    /// Bytes of stack: 64 KiB – 2 MiB.
    pub stack_bytes_max: usize,
    /// Milliseconds of CPU time: 1 ms – 1 h.
    pub cpu_ms_max: u64,
    /// Bytes of an event's data and of a KV value: 1 B – 64 MiB.
    pub data_bytes_max: usize,
    /// Writes and events together: 1–100,000.
    pub effects_max: usize,
    /// Bytes that `console` may print: 0 – 1 MiB.
    pub log_bytes_max: usize,
    /// Bytes of a script's source: 1 B – 16 MiB.
    pub source_bytes_max: usize,
    /// Isolates that wait, warm, for their next execution: 0–10,000. With 0, each execution gets a fresh one.
    pub warm_isolates_max: usize,
    /// Bytes of all of these together: 0 – 64 GiB. The one whose last execution is longest ago goes first.
    pub warm_bytes_max: usize,
    /// Bytes that an isolate may hold after an execution and still be used again: 0 – 4 GiB. It is never used again
    /// with more than half of `memory_bytes_max`, so that the next execution has the other half.
    pub warm_heap_bytes_max: usize,
    /// Executions of one isolate: 1–1,000,000.
    pub warm_executions_max: u32,
    /// Milliseconds after its making that an isolate takes no more executions: 1 ms – 24 h.
    pub warm_age_ms_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            threads_max: 64,
            memory_bytes_max: 64 << 20,
            stack_bytes_max: 512 << 10,
            cpu_ms_max: 10_000,
            data_bytes_max: 256 << 10,
            effects_max: 1_000,
            log_bytes_max: 64 << 10,
            source_bytes_max: 1 << 20,
            // An isolate with a small script holds about 210 KiB.
            warm_isolates_max: 64,
            warm_bytes_max: 16 << 20,
            warm_heap_bytes_max: 4 << 20,
            // Making an isolate costs about as much as twenty executions.
            warm_executions_max: 1_000,
            warm_age_ms_max: 300_000,
        }
    }
}

/// Which limit is out of range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} must be from {min} to {max}, it is {value}")]
pub struct InvalidLimits {
    /// The setting.
    pub key: &'static str,
    /// What it was set to.
    pub value: u64,
    /// The least it may be.
    pub min: u64,
    /// The most it may be.
    pub max: u64,
}

impl Limits {
    /// The same limits, if each lies in its range.
    pub fn checked(self) -> Result<Self, InvalidLimits> {
        for (key, value, min, max) in [
            ("scripts.threads_max", self.threads_max as u64, 1, 10_000),
            ("scripts.memory_bytes_max", self.memory_bytes_max as u64, 1 << 20, 4 << 30),
            ("scripts.stack_bytes_max", self.stack_bytes_max as u64, 64 << 10, 2 << 20),
            ("scripts.cpu_ms_max", self.cpu_ms_max, 1, 3_600_000),
            ("scripts.data_bytes_max", self.data_bytes_max as u64, 1, 64 << 20),
            ("scripts.effects_max", self.effects_max as u64, 1, 100_000),
            ("scripts.log_bytes_max", self.log_bytes_max as u64, 0, 1 << 20),
            ("scripts.source_bytes_max", self.source_bytes_max as u64, 1, 16 << 20),
            ("scripts.warm_isolates_max", self.warm_isolates_max as u64, 0, 10_000),
            ("scripts.warm_bytes_max", self.warm_bytes_max as u64, 0, 64 << 30),
            ("scripts.warm_heap_bytes_max", self.warm_heap_bytes_max as u64, 0, 4 << 30),
            ("scripts.warm_executions_max", self.warm_executions_max.into(), 1, 1_000_000),
            ("scripts.warm_age_ms_max", self.warm_age_ms_max, 1, 86_400_000),
        ] {
            if !(min..=max).contains(&value) {
                return Err(InvalidLimits { key, value, min, max });
            }
        }
        Ok(self)
    }

    pub(crate) fn cpu_max(&self) -> Duration {
        Duration::from_millis(self.cpu_ms_max)
    }

    pub(crate) fn warm_age_max(&self) -> Duration {
        Duration::from_millis(self.warm_age_ms_max)
    }

    /// What an isolate may hold and still be used again.
    pub(crate) fn warm_heap_max(&self) -> usize {
        self.warm_heap_bytes_max.min(self.memory_bytes_max / 2)
    }
}
