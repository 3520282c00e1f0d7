//! The limits of scripts: the settings under `scripts.`.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The limits of every execution. The limit on wall time is the trigger's `timeout_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The most threads of one app that compute for long or are stuck in a built-in function:
    /// 1–10,000. Other executions of the app wait for one of them to end. The default is twice the
    /// number of cores, and at least 8. There is no bound on other threads besides the gate.
    pub app_computing_max: usize,
    /// The most bytes that a script may allocate, together with the values that it reads and the
    /// writes and events that it stages: 1 MiB – 4 GiB.
    pub memory_bytes_max: usize,
    /// The most bytes of all executions together: 1 MiB – 16 TiB, and at least `memory_bytes_max`.
    /// Each execution counts with `memory_bytes_max`; others wait until one ends. The default is
    /// half of the memory that the process may use.
    pub total_memory_bytes_max: u64,
    /// The most bytes of stack: 64 KiB – 2 MiB.
    pub stack_bytes_max: usize,
    /// The most milliseconds of CPU time: 1 ms – 1 h.
    pub cpu_ms_max: u64,
    /// The most bytes of an event's data, of a KV value and of a reply: 1 B – 64 MiB.
    pub data_bytes_max: usize,
    /// The most writes and events together: 1–100,000.
    pub effects_max: usize,
    /// The most bytes of all writes and events together: 1 KiB – 64 MiB. Each one counts with its
    /// texts and 256 bytes.
    pub effects_bytes_max: usize,
    /// The most bytes that `console` logs: 0 – 1 MiB.
    pub log_bytes_max: usize,
    /// The most bytes of a script's source: 1 B – 16 MiB.
    pub source_bytes_max: usize,
    /// The most warm isolates that are idle: 0–10,000. With 0, each execution starts fresh.
    pub warm_isolates_max: usize,
    /// The most bytes of these isolates together: 0 – 64 GiB. The least recently used isolate is
    /// dropped first.
    pub warm_bytes_max: usize,
    /// The most bytes that an isolate may hold after an execution to be used again: 0 – 4 GiB. An
    /// isolate with more than half of `memory_bytes_max` is never used again, so that each
    /// execution can allocate the other half.
    pub warm_heap_bytes_max: usize,
    /// The most executions of one isolate: 1–1,000,000.
    pub warm_executions_max: u32,
    /// The age in milliseconds at which an isolate gets no more executions: 1 ms – 24 h.
    pub warm_age_ms_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            app_computing_max: std::thread::available_parallelism().map_or(8, |cores| (2 * cores.get()).max(8)),
            memory_bytes_max: 64 << 20,
            total_memory_bytes_max: memory_of_machine() / 2,
            stack_bytes_max: 512 << 10,
            cpu_ms_max: 10_000,
            data_bytes_max: 256 << 10,
            effects_max: 1_000,
            effects_bytes_max: 8 << 20,
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

/// The bytes of memory that this process may use: those of the machine, or of its control group if
/// these are fewer. At least enough for one execution with the default limits.
fn memory_of_machine() -> u64 {
    const LEAST: u64 = 128 << 20;
    #[cfg(target_os = "linux")]
    let machine = {
        let info = rustix::system::sysinfo();
        info.totalram as u64 * u64::from(info.mem_unit.max(1))
    };
    #[cfg(not(target_os = "linux"))]
    let machine: u64 = 8 << 30;
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|text| text.trim().parse().ok()).unwrap_or(u64::MAX);
    machine.min(group).max(LEAST)
}

/// A limit that is out of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} must be from {min} to {max}, it is {value}")]
pub struct InvalidLimits {
    /// The name of the setting.
    pub key: &'static str,
    pub value: u64,
    pub min: u64,
    pub max: u64,
}

impl Limits {
    /// Returns the limits if each of them lies in its range.
    pub fn checked(self) -> Result<Self, InvalidLimits> {
        for (key, value, min, max) in [
            ("scripts.app_computing_max", self.app_computing_max as u64, 1, 10_000),
            ("scripts.memory_bytes_max", self.memory_bytes_max as u64, 1 << 20, 4 << 30),
            ("scripts.total_memory_bytes_max", self.total_memory_bytes_max, self.memory_bytes_max as u64, 16 << 40),
            ("scripts.stack_bytes_max", self.stack_bytes_max as u64, 64 << 10, 2 << 20),
            ("scripts.cpu_ms_max", self.cpu_ms_max, 1, 3_600_000),
            ("scripts.data_bytes_max", self.data_bytes_max as u64, 1, 64 << 20),
            ("scripts.effects_max", self.effects_max as u64, 1, 100_000),
            ("scripts.effects_bytes_max", self.effects_bytes_max as u64, 1 << 10, 64 << 20),
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

    /// The most bytes that an isolate may hold to be used again.
    pub(crate) fn warm_heap_max(&self) -> usize {
        self.warm_heap_bytes_max.min(self.memory_bytes_max / 2)
    }
}
