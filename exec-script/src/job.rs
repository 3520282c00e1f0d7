//! A job of the pool, and its state.

use crate::isolate_cache::IsolateCache;
use rustix::process::Pid;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use tidegate_core::AppName;

/// The part of a job that runs a script. It returns the part that remains.
pub(crate) type Work = Box<dyn FnOnce(&mut IsolateCache) -> Completion + Send>;

/// The part of a job that reports the outcome. Its worker is already marked idle when it runs. So a
/// caller that sends the next request at once finds this worker, and its warm isolate.
pub(crate) type Completion = Box<dyn FnOnce(&mut IsolateCache)>;

pub(crate) struct Job {
    pub(crate) work: Work,
    pub(crate) state: Arc<JobState>,
}

/// The state of a job. Each change of its phase is a compare-and-swap, so exactly one thread makes
/// the change.
pub(crate) struct JobState {
    phase: AtomicU8,
    pub(crate) app: AppName,
    start: OnceLock<Start>,
}

/// The start of a job on its thread.
#[derive(Clone, Copy)]
pub(crate) struct Start {
    pub(crate) at: Instant,
    /// The number of the thread in the system.
    pub(crate) thread: Pid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// The job waits for a worker.
    Queued,
    /// The job computes and counts against the cores.
    Running,
    /// The job waits for the store, or sleeps.
    Paused,
    /// The job has computed for long. It counts against the bound of its app, and no longer against
    /// the cores.
    Computing,
    Ended,
    /// The job still runs after its time, in a built-in function.
    Stuck,
    /// The job was withdrawn before it started.
    Withdrawn,
}

impl JobState {
    pub(crate) fn queued(app: AppName) -> Self {
        Self { phase: AtomicU8::new(Phase::Queued as u8), app, start: OnceLock::new() }
    }

    /// Changes the phase from `from` to `to`. Returns `false` if the job is in another phase.
    pub(crate) fn change(&self, from: Phase, to: Phase) -> bool {
        self.phase.compare_exchange(from as u8, to as u8, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Starts the job on the thread `thread`. Returns `false` if the job was withdrawn.
    pub(crate) fn start(&self, thread: Pid) -> bool {
        // Before the phase changes, because a started job must have a start.
        self.start.set(Start { at: Instant::now(), thread }).ok();
        self.change(Phase::Queued, Phase::Running)
    }

    /// The start of the job. `None` while it is queued.
    pub(crate) fn started(&self) -> Option<Start> {
        self.start.get().copied()
    }
}
