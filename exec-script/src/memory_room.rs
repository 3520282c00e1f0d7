//! How many executions may hold memory at once, so that all of them together stay within
//! `scripts.total_memory_bytes_max`, even if each of them uses `scripts.memory_bytes_max`.

use crate::limits::Limits;

/// An execution holds memory from its start to its end, also while it waits or is stuck.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemoryRoom {
    executions_max: usize,
    /// The places that only apps without an execution may take: an eighth, and at least one of
    /// several. So the scripts of one app never keep all others from running.
    reserve: usize,
}

impl MemoryRoom {
    pub(crate) fn new(limits: &Limits) -> Self {
        let executions_max = (limits.total_memory_bytes_max / limits.memory_bytes_max as u64).max(1) as usize;
        Self { executions_max, reserve: (executions_max / 8).max(1).min(executions_max - 1) }
    }

    /// Whether one more execution may start beside `running` ones. `of_app` counts those of the
    /// same app.
    pub(crate) fn admits(self, running: usize, of_app: impl FnOnce() -> usize) -> bool {
        let of_all = self.executions_max - self.reserve;
        running < of_all || (running < self.executions_max && of_app() == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(executions: u64) -> MemoryRoom {
        let limits = Limits::default();
        let total_memory_bytes_max = executions * limits.memory_bytes_max as u64;
        MemoryRoom::new(&Limits { total_memory_bytes_max, ..limits })
    }

    #[test]
    fn the_last_places_are_for_apps_without_an_execution() {
        for (executions, shared) in [(1, 1), (2, 1), (8, 7), (9, 8), (16, 14), (80, 70)] {
            let room = room(executions as u64);
            for running in 0..=executions + 1 {
                assert_eq!(room.admits(running, || 1), running < shared, "{running} of {executions}");
                assert_eq!(room.admits(running, || 0), running < executions, "{running} of {executions}, new app");
            }
        }
    }
}
