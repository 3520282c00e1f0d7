//! The pool of threads that run scripts. [`crate::schedule`] describes which thread runs which job.

use crate::idle_registry::IdleRegistry;
use crate::job::{Job, JobState, Phase, Work};
use crate::limits::Limits;
use crate::schedule::Schedule;
use crate::threads::Threads;
use crate::worker::Task;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Instant;
use tidegate_core::AppName;

pub(crate) struct Pool {
    threads: Arc<Threads>,
}

/// A job that was submitted to the pool, in any phase.
#[derive(Clone)]
pub(crate) struct JobHandle {
    threads: Arc<Threads>,
    state: Arc<JobState>,
}

/// Lets another job use the core of this job while this job waits.
pub(crate) struct Pause {
    // Weak, because a queued job owns its pause, and the queue belongs to the pool.
    threads: Weak<Threads>,
    state: Arc<JobState>,
}

impl Pool {
    pub(crate) fn new(limits: &Limits, registry: Arc<IdleRegistry>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { threads: Arc::new(Threads::new(Schedule::new(cores, limits), registry)) }
    }

    /// Runs a job of `app` on the next free worker, if possible on one that has a warm isolate for
    /// `bit`.
    pub(crate) fn submit(&self, app: AppName, bit: u64, work: impl FnOnce(Pause) -> Work) -> JobHandle {
        let state = Arc::new(JobState::queued(app));
        let pause = Pause { threads: Arc::downgrade(&self.threads), state: Arc::clone(&state) };
        let handle = JobHandle { threads: Arc::clone(&self.threads), state: Arc::clone(&state) };
        let job = Job { work: work(pause), state };
        let mut schedule = self.threads.lock();
        if let Some(worker) = schedule.begin_on_idle(&job, bit) {
            drop(schedule);
            worker.assign(Task::Run(job));
        } else {
            schedule.enqueue(job);
            self.threads.dispatch(schedule);
        }
        handle
    }

    /// Whether the memory of the running scripts leaves room for one more of `app`.
    pub(crate) fn has_room(&self, app: &AppName) -> bool {
        self.threads.lock().has_room(app)
    }

    /// Whether all threads that `app` may keep busy for long are stuck.
    pub(crate) fn is_stuck(&self, app: &AppName) -> bool {
        self.threads.lock().is_stuck(app)
    }

    /// The apps with threads that are stuck in a built-in function, and the number of these
    /// threads.
    pub(crate) fn stuck(&self) -> BTreeMap<AppName, usize> {
        self.threads.lock().stuck()
    }

    /// Threads that run jobs or are idle.
    pub(crate) fn threads(&self) -> usize {
        self.threads.lock().threads()
    }

    /// Jobs that wait for a thread.
    pub(crate) fn queued(&self) -> usize {
        self.threads.lock().queued()
    }
}

impl JobHandle {
    /// When the job started on its thread. `None` while it is queued.
    pub(crate) fn started_at(&self) -> Option<Instant> {
        self.state.started().map(|start| start.at)
    }

    /// Withdraws the job if it is queued. Returns `false` if it has started.
    pub(crate) fn withdraw(&self) -> bool {
        let is_withdrawn = self.state.change(Phase::Queued, Phase::Withdrawn);
        if is_withdrawn {
            self.threads.lock().remove_queued(&self.state);
        }
        is_withdrawn
    }

    /// Declares that the job is stuck in a built-in function, so another worker replaces its
    /// worker. Returns `false` if the job does not run.
    pub(crate) fn declare_stuck(&self) -> bool {
        let mut schedule = self.threads.lock();
        let is_stuck = schedule.declare_stuck(&self.state);
        if is_stuck {
            self.threads.dispatch(schedule);
        }
        is_stuck
    }
}

impl Pause {
    /// Calls `wait`, which must need no core.
    pub(crate) fn during<T>(&self, wait: impl FnOnce() -> T) -> T {
        if let Some(threads) = self.threads.upgrade() {
            let mut schedule = threads.lock();
            if schedule.pause(&self.state) {
                threads.dispatch(schedule);
            }
        }
        let _resume = ResumeGuard(self);
        wait()
    }
}

/// Ends a pause, also if `wait` panics.
struct ResumeGuard<'p>(&'p Pause);

impl Drop for ResumeGuard<'_> {
    fn drop(&mut self) {
        if let Some(threads) = self.0.threads.upgrade() {
            threads.lock().resume(&self.0.state);
        }
    }
}
