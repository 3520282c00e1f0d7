//! A job of the pool, and its state.

use crate::isolate_cache::IsolateCache;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// The part of a job that runs a script. It returns the part that remains.
pub(crate) type Work = Box<dyn FnOnce(&mut IsolateCache) -> Completion + Send>;

/// The part of a job that reports the outcome. Its worker is already marked idle when it runs. So a
/// caller that sends the next request at once finds this worker, and its warm isolate.
pub(crate) type Completion = Box<dyn FnOnce(&mut IsolateCache)>;

pub(crate) struct Job {
    pub(crate) work: Work,
    pub(crate) state: Arc<JobState>,
}

/// The state of a job. Each change is a compare-and-swap, so exactly one thread makes it.
pub(crate) struct JobState(AtomicU8);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// The job waits for a worker.
    Queued,
    /// The job computes and counts against the cores.
    Running,
    /// The job runs but does not count against the cores: it waits for the store, or has computed
    /// for long.
    Uncounted,
    Ended,
    /// The job still runs, but its worker was abandoned.
    Abandoned,
    /// The job was cancelled before it began.
    Withdrawn,
}

impl JobState {
    pub(crate) fn queued() -> Self {
        Self(AtomicU8::new(Phase::Queued as u8))
    }

    /// Changes the phase from `from` to `to`. Returns `false` if the job is in another phase.
    pub(crate) fn change(&self, from: Phase, to: Phase) -> bool {
        self.0.compare_exchange(from as u8, to as u8, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}
