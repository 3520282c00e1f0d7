//! The pool of threads that run scripts. [`crate::schedule`] describes which thread runs which job.

use crate::idle_registry::IdleRegistry;
use crate::job::{Job, JobState, Work};
use crate::schedule::Schedule;
use crate::threads::Threads;
use crate::worker::Task;
use std::sync::{Arc, Weak};

pub(crate) struct Pool {
    threads: Arc<Threads>,
}

/// Abandons the job if its outcome is no longer needed.
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
    pub(crate) fn new(threads_max: usize, registry: Arc<IdleRegistry>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { threads: Arc::new(Threads::new(Schedule::new(cores, threads_max), registry)) }
    }

    /// Runs a job on the next free worker, if possible on one that has a warm isolate for `bit`.
    pub(crate) fn submit(&self, bit: u64, work: impl FnOnce(Pause) -> Work) -> JobHandle {
        let state = Arc::new(JobState::queued());
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

    /// Workers that are stuck in a built-in function.
    pub(crate) fn abandoned(&self) -> usize {
        self.threads.lock().abandoned()
    }

    /// Threads that run jobs or are idle.
    pub(crate) fn threads(&self) -> usize {
        self.threads.lock().threads()
    }
}

impl JobHandle {
    /// Abandons the job. If the job runs, its worker is replaced. A queued job never runs.
    pub(crate) fn abandon(self) {
        let mut schedule = self.threads.lock();
        if schedule.abandon(&self.state) {
            self.threads.dispatch(schedule);
        }
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
