//! Decides which worker runs which job. It starts no threads and wakes none.
//!
//! A job goes to an idle worker that has a warm isolate for it, else to the worker that became idle
//! last. So workers that are not needed stay idle, and end after 10 seconds.
//!
//! More running threads than cores do not increase throughput, and waking a thread costs about as
//! much as a short script. So jobs wait in the queue while as many scripts compute as there are
//! cores, and the worker that ends first takes the next job without a wake-up. Two kinds of scripts
//! do not count against the cores: scripts that wait for the store or sleep, and scripts that
//! compute for long. While the queue is not empty, one worker watches for the second kind.
//!
//! A built-in function of QuickJS cannot be interrupted. A worker that is stuck in one is
//! abandoned: it no longer counts, another worker replaces it, and its thread ends when the
//! function returns.

use crate::job::{Job, JobState, Phase};
use crate::worker::{Task, Worker};
use std::collections::VecDeque;
use std::sync::Arc;

pub(crate) struct Schedule {
    /// The most jobs that run and count at once.
    cores: usize,
    threads_max: usize,
    queue: VecDeque<Job>,
    /// Idle workers. The last one became idle last.
    idle: Vec<Arc<Worker>>,
    running: Vec<RunningJob>,
    /// The number of running jobs that count against the cores.
    busy: usize,
    /// Threads of the pool, without the abandoned ones.
    threads: usize,
    abandoned: usize,
    /// Whether a worker watches the queue.
    is_watched: bool,
}

struct RunningJob {
    state: Arc<JobState>,
    /// True if an earlier check of the watch found the job running.
    was_seen: bool,
}

/// The next step of a worker that watches the queue.
pub(crate) enum WatchStep {
    /// Run this job: a core is free.
    Run(Job),
    /// Check again later: no core is free for the queue yet.
    Sleep,
    /// Stop: the queue is empty. The worker is now idle.
    Stop,
}

/// A task for a worker. Without a worker, a new thread must be started, which is already counted.
pub(crate) type Assignment = (Option<Arc<Worker>>, Task);

impl Schedule {
    pub(crate) fn new(cores: usize, threads_max: usize) -> Self {
        Self {
            cores,
            threads_max,
            queue: VecDeque::new(),
            idle: Vec::new(),
            running: Vec::new(),
            busy: 0,
            threads: 0,
            abandoned: 0,
            is_watched: false,
        }
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Workers that are stuck in a built-in function.
    pub(crate) fn abandoned(&self) -> usize {
        self.abandoned
    }

    /// Starts a job on an idle worker, if the queue is empty and a core is free. The caller must
    /// then give the job to the returned worker.
    pub(crate) fn begin_on_idle(&mut self, job: &Job, bit: u64) -> Option<Arc<Worker>> {
        if !self.queue.is_empty() || self.busy >= self.cores {
            return None;
        }
        let worker = self.take_idle(bit)?;
        self.begin(job);
        Some(worker)
    }

    /// Adds a job to the queue. [`Schedule::assignments`] must be called next.
    pub(crate) fn enqueue(&mut self, job: Job) {
        self.queue.push_back(job);
    }

    /// Assigns queued jobs to workers while cores are free, and a watch to one more worker if jobs
    /// remain. Must be called after a job was queued, and after a core or a thread became free.
    pub(crate) fn assignments(&mut self) -> Vec<Assignment> {
        let mut assignments = Vec::new();
        while self.busy < self.cores && (!self.idle.is_empty() || self.threads < self.threads_max) {
            let Some(job) = self.queue.pop_front() else { break };
            self.begin(&job);
            let worker = self.take_idle(0);
            self.threads += usize::from(worker.is_none());
            assignments.push((worker, Task::Run(job)));
        }
        if !self.queue.is_empty() && !self.is_watched {
            // The worker that has been idle for longest is the least likely to be needed for a job.
            let worker = (!self.idle.is_empty()).then(|| self.idle.remove(0));
            if worker.is_some() || self.threads < self.threads_max {
                self.is_watched = true;
                self.threads += usize::from(worker.is_none());
                assignments.push((worker, Task::Watch));
            }
        }
        assignments
    }

    /// Takes back a task because its thread could not be started. The job of the task waits for the
    /// next free worker.
    pub(crate) fn spawn_failed(&mut self, task: Option<Task>) {
        self.threads -= 1;
        match task {
            Some(Task::Run(job)) => {
                self.busy -= 1;
                self.forget(&job.state);
                self.queue.push_front(job);
            }
            Some(Task::Watch) | None => self.is_watched = false,
        }
    }

    /// Ends a job. Returns `false` if the job was abandoned: its worker is no longer part of the
    /// pool.
    pub(crate) fn end(&mut self, state: &Arc<JobState>) -> bool {
        let counted = state.change(Phase::Running, Phase::Ended) || state.change(Phase::Withdrawn, Phase::Ended);
        if !counted && !state.change(Phase::Uncounted, Phase::Ended) {
            self.abandoned -= 1;
            return false;
        }
        self.busy -= usize::from(counted);
        self.forget(state);
        true
    }

    /// The next job for a worker that has ended its job. Without a next job, the worker becomes
    /// idle.
    pub(crate) fn next_job(&mut self, worker: &Arc<Worker>) -> Option<Job> {
        let job = if self.busy < self.cores { self.queue.pop_front() } else { None };
        match &job {
            Some(job) => self.begin(job),
            None => self.idle.push(Arc::clone(worker)),
        }
        job
    }

    /// The next step of the worker that watches the queue. A job that is seen for the second time
    /// no longer counts.
    pub(crate) fn watch(&mut self, worker: &Arc<Worker>) -> WatchStep {
        for running in &mut self.running {
            if running.was_seen && running.state.change(Phase::Running, Phase::Uncounted) {
                self.busy -= 1;
            }
            running.was_seen = true;
        }
        if !self.queue.is_empty() && self.busy >= self.cores {
            return WatchStep::Sleep;
        }
        self.is_watched = false;
        self.next_job(worker).map_or(WatchStep::Stop, WatchStep::Run)
    }

    /// Stops counting a running job. Returns `false` if it did not count.
    pub(crate) fn pause(&mut self, state: &JobState) -> bool {
        let counted = state.change(Phase::Running, Phase::Uncounted);
        self.busy -= usize::from(counted);
        counted
    }

    /// Counts a job again after a pause, unless it was abandoned during the pause.
    pub(crate) fn resume(&mut self, state: &JobState) {
        self.busy += usize::from(state.change(Phase::Uncounted, Phase::Running));
    }

    /// Abandons the worker of a running job. A queued job is withdrawn. Returns whether a worker
    /// was abandoned.
    pub(crate) fn abandon(&mut self, state: &Arc<JobState>) -> bool {
        let counted = state.change(Phase::Running, Phase::Abandoned);
        if !counted && !state.change(Phase::Uncounted, Phase::Abandoned) {
            state.change(Phase::Queued, Phase::Withdrawn);
            return false;
        }
        self.abandoned += 1;
        self.threads -= 1;
        self.busy -= usize::from(counted);
        self.forget(state);
        true
    }

    /// Removes an idle worker from the pool. Returns `false` if the worker has just got a task,
    /// which it must do.
    pub(crate) fn remove_idle(&mut self, worker: &Arc<Worker>) -> bool {
        let Some(at) = self.idle.iter().position(|idle| Arc::ptr_eq(idle, worker)) else { return false };
        self.idle.remove(at);
        self.threads -= 1;
        true
    }

    /// Takes an idle worker: one with a warm isolate for `bit`, else the one that became idle last.
    fn take_idle(&mut self, bit: u64) -> Option<Arc<Worker>> {
        let warm = self.idle.iter().rposition(|worker| worker.has_warm(bit));
        let at = warm.or(self.idle.len().checked_sub(1))?;
        Some(self.idle.remove(at))
    }

    fn begin(&mut self, job: &Job) {
        self.busy += 1;
        self.running.push(RunningJob { state: Arc::clone(&job.state), was_seen: false });
    }

    fn forget(&mut self, state: &Arc<JobState>) {
        if let Some(at) = self.running.iter().position(|running| Arc::ptr_eq(&running.state, state)) {
            self.running.swap_remove(at);
        }
    }
}
