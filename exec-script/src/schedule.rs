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
//! The number of threads follows the gate: each job belongs to an execution with a permit, so there
//! are never more threads than permits, besides the watching and the stuck ones.
//!
//! A job also waits until the memory of the running scripts leaves room for it. See
//! [`crate::memory_room`].
//!
//! # Stuck threads
//!
//! QuickJS calls its interrupt handler at loops, calls and steps of a regular expression. Other
//! built-in functions do not call it: `indexOf` and `split` of strings, `sort` without a
//! comparator, `fill` of an array-like object and products of `BigInt` can run for days. Such a
//! thread is **stuck** when its execution has timed out. It leaves the pool, another worker
//! replaces it, and it ends when the function returns. Nothing can end it earlier, because it
//! shares its memory with the process. Two rules limit its harm:
//!
//! * Threads of one app that compute for long or are stuck are bounded. Further jobs of this app
//!   wait, so its scripts never take all cores and all memory.
//! * A stuck thread gets the lowest priority. With this rule, 8 stuck threads beside 2 computing
//!   ones took 15 to 20 % of the processor time.
//!
//! A helper process could be killed. But killing it kills all of its scripts, so each concurrent
//! execution would need a process of its own. A round trip over a pipe costs 5 µs of processor
//! time, a third of a warm execution, and each call of `ctx.kv` would be another round trip. All
//! scripts would pay for the few that get stuck, and the bound would still be needed for scripts
//! that compute for long.

use crate::apps::Apps;
use crate::job::{Job, JobState, Phase};
use crate::limits::Limits;
use crate::memory_room::MemoryRoom;
use crate::worker::{Task, Worker};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tidegate_core::AppName;

pub(crate) struct Schedule {
    /// The most jobs that run and count at once.
    cores: usize,
    /// The most threads of one app that compute for long or are stuck.
    app_computing_max: usize,
    room: MemoryRoom,
    queue: VecDeque<Job>,
    /// Idle workers. The last one became idle last.
    idle: Vec<Arc<Worker>>,
    running: Vec<RunningJob>,
    /// The number of running jobs that count against the cores.
    busy: usize,
    /// Threads of the pool, without the stuck ones.
    threads: usize,
    apps: Apps,
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
    /// Stop: no job may run. The worker is now idle.
    Stop,
}

/// A task for a worker. Without a worker, a new thread must be started, which is already counted.
pub(crate) type Assignment = (Option<Arc<Worker>>, Task);

impl Schedule {
    pub(crate) fn new(cores: usize, limits: &Limits) -> Self {
        Self {
            cores,
            app_computing_max: limits.app_computing_max,
            room: MemoryRoom::new(limits),
            queue: VecDeque::new(),
            idle: Vec::new(),
            running: Vec::new(),
            busy: 0,
            threads: 0,
            apps: Apps::default(),
            is_watched: false,
        }
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// The apps with stuck threads, and the number of these threads.
    pub(crate) fn stuck(&self) -> BTreeMap<AppName, usize> {
        self.apps.all_stuck()
    }

    /// Whether as many threads of `app` are stuck as may compute for long.
    pub(crate) fn is_stuck(&self, app: &AppName) -> bool {
        self.apps.stuck(app) >= self.app_computing_max
    }

    /// Starts a job on an idle worker, if the queue is empty and a core is free. The caller must
    /// then give the job to the returned worker.
    pub(crate) fn begin_on_idle(&mut self, job: &Job, bit: u64) -> Option<Arc<Worker>> {
        if !self.queue.is_empty() || self.busy >= self.cores || !self.may_run(job) {
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

    /// Removes a job that was withdrawn. A job that was just assigned to a worker is not queued.
    pub(crate) fn remove_queued(&mut self, state: &Arc<JobState>) {
        if let Some(at) = self.queue.iter().position(|job| Arc::ptr_eq(&job.state, state)) {
            self.queue.remove(at);
        }
    }

    /// Assigns queued jobs to workers while cores are free, and a watch to one more worker if jobs
    /// wait for a core. Must be called after a job was queued, and after a core became free.
    pub(crate) fn assignments(&mut self) -> Vec<Assignment> {
        let mut assignments = Vec::new();
        while self.busy < self.cores {
            let Some(job) = self.take_queued() else { break };
            self.begin(&job);
            let worker = self.take_idle(0);
            self.threads += usize::from(worker.is_none());
            assignments.push((worker, Task::Run(job)));
        }
        if !self.is_watched && self.next_queued().is_some() {
            // The worker that has been idle for longest is the least likely to be needed for a job.
            let worker = (!self.idle.is_empty()).then(|| self.idle.remove(0));
            self.is_watched = true;
            self.threads += usize::from(worker.is_none());
            assignments.push((worker, Task::Watch));
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

    /// Ends a job. Returns `false` if the job was stuck: its worker is no longer part of the pool.
    pub(crate) fn end(&mut self, state: &Arc<JobState>) -> bool {
        if state.change(Phase::Stuck, Phase::Ended) {
            self.apps.end_stuck(&state.app);
            return false;
        }
        if state.change(Phase::Computing, Phase::Ended) {
            self.apps.end_computing(&state.app);
        } else if !state.change(Phase::Paused, Phase::Ended) {
            self.busy -= 1;
            // A job that was withdrawn after its assignment has counted, too.
            let is_ended = state.change(Phase::Running, Phase::Ended) || state.change(Phase::Withdrawn, Phase::Ended);
            debug_assert!(is_ended, "a worker ends each of its jobs once");
        }
        self.forget(state);
        true
    }

    /// The next job for a worker that has ended its job. Without a next job, the worker becomes
    /// idle.
    pub(crate) fn next_job(&mut self, worker: &Arc<Worker>) -> Option<Job> {
        let job = if self.busy < self.cores { self.take_queued() } else { None };
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
            if running.was_seen && running.state.change(Phase::Running, Phase::Computing) {
                self.busy -= 1;
                self.apps.start_computing(&running.state.app);
            }
            running.was_seen = true;
        }
        if self.busy >= self.cores && self.next_queued().is_some() {
            return WatchStep::Sleep;
        }
        self.is_watched = false;
        self.next_job(worker).map_or(WatchStep::Stop, WatchStep::Run)
    }

    /// Stops counting a job that waits. Returns whether a queued job may run now.
    pub(crate) fn pause(&mut self, state: &JobState) -> bool {
        if state.change(Phase::Running, Phase::Paused) {
            self.busy -= 1;
        } else if state.change(Phase::Computing, Phase::Paused) {
            self.apps.end_computing(&state.app);
        } else {
            return false;
        }
        true
    }

    /// Counts a job again after a pause, unless it was declared stuck during the pause.
    pub(crate) fn resume(&mut self, state: &JobState) {
        self.busy += usize::from(state.change(Phase::Paused, Phase::Running));
    }

    /// Removes the worker of a running job from the pool, and lowers its priority. Returns `false`
    /// if the job does not run.
    pub(crate) fn declare_stuck(&mut self, state: &Arc<JobState>) -> bool {
        if state.change(Phase::Running, Phase::Stuck) {
            self.busy -= 1;
        } else if state.change(Phase::Computing, Phase::Stuck) {
            self.apps.end_computing(&state.app);
        } else if !state.change(Phase::Paused, Phase::Stuck) {
            return false;
        }
        self.apps.start_stuck(&state.app);
        self.threads -= 1;
        self.forget(state);
        // The thread still exists: it needs the lock of this schedule to end its job.
        lower_priority(state);
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

    /// Whether there is memory for the job, and its app has fewer threads that compute for long
    /// than it may have.
    fn may_run(&self, job: &Job) -> bool {
        let app = &job.state.app;
        self.has_room(app) && (self.apps.is_empty() || self.apps.busy(app) < self.app_computing_max)
    }

    /// Whether the memory of the running scripts leaves room for one more of `app`.
    pub(crate) fn has_room(&self, app: &AppName) -> bool {
        let of_app = || self.running.iter().filter(|running| running.state.app == *app).count() + self.apps.stuck(app);
        self.room.admits(self.running.len() + self.apps.stuck_of_all(), of_app)
    }

    /// The place of the first queued job that may run.
    fn next_queued(&self) -> Option<usize> {
        self.queue.iter().position(|job| self.may_run(job))
    }

    fn take_queued(&mut self) -> Option<Job> {
        self.queue.remove(self.next_queued()?)
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

/// The lowest priority of a thread. With it, a thread gets 1.5 % of the processor time of a thread
/// with the default priority.
#[cfg(target_os = "linux")]
const LOWEST_PRIORITY: i32 = 19;

/// Lowers the priority of the thread of a job. On systems where a priority belongs to the whole
/// process, it stays as it is.
fn lower_priority(state: &JobState) {
    #[cfg(target_os = "linux")]
    if let Some(start) = state.started()
        && let Err(error) = rustix::process::setpriority_process(Some(start.thread), LOWEST_PRIORITY)
    {
        tracing::debug!(%error, "the priority of a stuck thread stays as it is");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = state;
}
