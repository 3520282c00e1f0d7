//! The threads that run scripts, for `/readyz`, `/v1/gate` and the metrics.

use std::collections::BTreeMap;
use tidegate_core::AppName;
use tidegate_exec_script::ScriptExecutor;

/// The threads of an executor.
pub trait ScriptThreads: Send + Sync + 'static {
    /// The current state of the threads.
    fn state(&self) -> ThreadState;
}

/// The state of the threads at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadState {
    /// Executions that have a permit and wait for a thread.
    pub waiting: u32,
    /// Threads of each app that are stuck in a built-in function. Other apps are not listed.
    pub stuck: BTreeMap<AppName, usize>,
}

impl ThreadState {
    /// A sentence about the stuck threads. `None` if there are none. It names no app, because
    /// `/readyz` needs no token.
    #[must_use]
    pub fn stuck_detail(&self) -> Option<String> {
        let (threads, apps) = (self.stuck.values().sum::<usize>(), self.stuck.len());
        let count = |n: usize, noun: &str| if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") };
        if threads == 0 {
            return None;
        }
        let (are, threads, apps) =
            (if threads == 1 { "is" } else { "are" }, count(threads, "script thread"), count(apps, "app"));
        Some(format!(
            "{threads} of {apps} {are} stuck in built-in functions; the metric tidegate_script_threads_stuck names the apps"
        ))
    }
}

impl ScriptThreads for ScriptExecutor {
    fn state(&self) -> ThreadState {
        let stats = self.stats();
        ThreadState { waiting: u32::try_from(stats.waiting).unwrap_or(u32::MAX), stuck: stats.stuck }
    }
}
