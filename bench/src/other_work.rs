//! The CPU time that other programs used during a scenario. On a busy machine a figure says more
//! about its neighbours than about Tidegate, so that each report shows this number.

use crate::process::{ProcessTime, processes};
use std::collections::HashMap;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The processes of the benchmark: these roots and all their descendants. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct OwnProcesses {
    roots: Arc<Mutex<Vec<u32>>>,
}

/// A measurement that runs until it is stopped.
#[derive(Debug)]
pub(crate) struct OtherWork {
    stop: Sender<()>,
    watching: JoinHandle<f64>,
}

/// A sample reads one file for each process, a few milliseconds in all. A program that runs for a
/// shorter time may not be counted.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(4);
/// The parent of all threads of the kernel. They work for the benchmark as well as for others.
const KERNEL: u32 = 2;

impl OwnProcesses {
    /// This process and its descendants.
    #[must_use]
    pub(crate) fn of_this_program() -> Self {
        Self { roots: Arc::new(Mutex::new(vec![std::process::id(), KERNEL])) }
    }

    /// Adds a process that is no descendant of this one, such as a server.
    pub(crate) fn add(&self, root: u32) {
        self.roots.lock().unwrap_or_else(PoisonError::into_inner).push(root);
    }

    fn roots(&self) -> Vec<u32> {
        self.roots.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl OtherWork {
    /// Starts a measurement on a thread of its own.
    #[must_use]
    pub(crate) fn watch(own: OwnProcesses) -> Self {
        let (stop, stopped) = mpsc::channel();
        let watching = std::thread::spawn(move || {
            let (started_at, mut last, mut used) = (Instant::now(), HashMap::new(), Duration::ZERO);
            let mut is_first = true;
            loop {
                let others = others(&processes(), &own.roots());
                if !is_first {
                    used += growth(&last, &others);
                }
                (last, is_first) = (others, false);
                if stopped.recv_timeout(SAMPLE_INTERVAL) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
            }
            used += growth(&last, &self::others(&processes(), &own.roots()));
            used.as_secs_f64() / started_at.elapsed().as_secs_f64()
        });
        Self { stop, watching }
    }

    /// Ends the measurement. Returns the number of cores that other programs used on average.
    pub(crate) fn stop(self) -> Option<f64> {
        drop(self.stop);
        self.watching.join().ok()
    }
}

/// The CPU time of each process that does not descend from one of `roots`.
fn others(processes: &[ProcessTime], roots: &[u32]) -> HashMap<u32, Duration> {
    let parents: HashMap<u32, u32> = processes.iter().map(|process| (process.pid, process.parent)).collect();
    let is_own = |pid: u32| {
        let ancestors = std::iter::successors(Some(pid), |pid| parents.get(pid).copied());
        // A process that ends during the sample can leave a cycle of reused ids.
        ancestors.take(parents.len()).any(|pid| roots.contains(&pid))
    };
    processes.iter().filter(|process| !is_own(process.pid)).map(|process| (process.pid, process.time)).collect()
}

/// The CPU time between two samples. A process that only the second one has is new.
fn growth(before: &HashMap<u32, Duration>, after: &HashMap<u32, Duration>) -> Duration {
    let earlier = |pid| before.get(pid).copied().unwrap_or_default();
    after.iter().map(|(pid, time)| time.saturating_sub(earlier(pid))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descendants_of_a_root_are_own_processes() {
        let process = |pid, parent, secs| ProcessTime { pid, parent, time: Duration::from_secs(secs) };
        let tree = [process(1, 0, 9), process(5, 1, 8), process(6, 5, 7), process(7, 6, 6), process(8, 1, 5)];
        let found = others(&tree, &[5]);
        assert_eq!(found, HashMap::from([(1, Duration::from_secs(9)), (8, Duration::from_secs(5))]));
    }

    #[test]
    fn growth_counts_new_processes_and_ignores_ended_ones() {
        let before = HashMap::from([(1, Duration::from_secs(9)), (2, Duration::from_secs(3))]);
        let after = HashMap::from([(1, Duration::from_secs(10)), (3, Duration::from_secs(2))]);
        assert_eq!(growth(&before, &after), Duration::from_secs(3));
    }

    #[test]
    fn a_measurement_of_this_machine_ends() {
        let cores = OtherWork::watch(OwnProcesses::of_this_program()).stop().unwrap();
        assert!(cores >= 0.0);
    }
}
