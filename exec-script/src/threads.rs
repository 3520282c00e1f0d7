//! The threads of the pool: they are started when a job needs one, and end after 10 seconds without
//! a task.

use crate::idle_registry::IdleRegistry;
use crate::isolate_cache::{IDLE_MAX, IsolateCache};
use crate::job::{Completion, Job};
use crate::schedule::{Schedule, WatchStep};
use crate::worker::{Task, Worker};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// More than the largest `scripts.stack_bytes_max`, which is 2 MiB.
const STACK_BYTES: usize = 4 << 20;
/// The interval at which a watching worker checks the running jobs. A job that two checks find
/// running computes for long. 2 ms is longer than short scripts take, and delays a queued job only
/// a little.
const WATCH_INTERVAL: Duration = Duration::from_millis(2);

pub(crate) struct Threads {
    schedule: Mutex<Schedule>,
    registry: Arc<IdleRegistry>,
}

impl Threads {
    pub(crate) fn new(schedule: Schedule, registry: Arc<IdleRegistry>) -> Self {
        Self { schedule: Mutex::new(schedule), registry }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Schedule> {
        // Only counters and lists change under this lock, so a panic leaves them consistent.
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands the schedule's assignments to their workers, and starts threads for those that have
    /// none.
    pub(crate) fn dispatch(self: &Arc<Self>, mut schedule: MutexGuard<'_, Schedule>) {
        let assignments = schedule.assignments();
        drop(schedule);
        for (worker, task) in assignments {
            match worker {
                Some(worker) => worker.assign(task),
                None => self.spawn(task),
            }
        }
    }

    /// Starts a thread. The schedule counts it already.
    fn spawn(self: &Arc<Self>, task: Task) {
        let task = Arc::new(Mutex::new(Some(task)));
        let take = |task: &Mutex<Option<Task>>| task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (threads, first_task) = (Arc::clone(self), Arc::clone(&task));
        let body = move || {
            if let Some(task) = take(&first_task) {
                threads.run_worker(task);
            }
        };
        let builder = std::thread::Builder::new().name("tidegate-script".to_owned()).stack_size(STACK_BYTES);
        if builder.spawn(body).is_err() {
            self.lock().spawn_failed(take(&task));
        }
    }

    /// The life of a worker, from its first task until it leaves the pool.
    fn run_worker(self: &Arc<Self>, task: Task) {
        let worker = Arc::new(Worker::current());
        let thread = rustix::thread::gettid();
        let mut cache = IsolateCache::new(Arc::clone(&self.registry));
        let mut job = self.job_of(task, &worker, &mut cache);
        while let Some(Job { work, state }) = job {
            let mut completion: Option<Completion> = None;
            if state.start(thread) {
                // After a panic the job has no completion. That drops the sender of its outcome,
                // and the receiver fails.
                completion = catch_unwind(AssertUnwindSafe(|| work(&mut cache))).ok();
            }
            // The bits are set before the worker is idle, because other threads read the bits of
            // idle workers.
            worker.set_warm_bits(cache.bits());
            let mut schedule = self.lock();
            if !schedule.end(&state) {
                self.dispatch(schedule);
                tracing::info!(app = state.app.as_str(), "a script that was stuck in a built-in function has ended");
                return;
            }
            job = schedule.next_job(&worker);
            self.dispatch(schedule);
            if let Some(completion) = completion {
                completion(&mut cache);
            }
            if job.is_none() {
                job = self.wait_for_task(&worker, &mut cache).and_then(|task| self.job_of(task, &worker, &mut cache));
            }
        }
    }

    /// The job of a task. For `Task::Watch` the worker first watches the queue. `None` if the
    /// worker has left the pool.
    fn job_of(self: &Arc<Self>, mut task: Task, worker: &Arc<Worker>, cache: &mut IsolateCache) -> Option<Job> {
        loop {
            match task {
                Task::Run(job) => return Some(job),
                Task::Watch => {
                    if let Some(job) = self.watch(worker, cache) {
                        return Some(job);
                    }
                }
            }
            task = self.wait_for_task(worker, cache)?;
        }
    }

    /// Watches the queue until a core is free for its first job, or until the queue is empty.
    fn watch(self: &Arc<Self>, worker: &Arc<Worker>, cache: &mut IsolateCache) -> Option<Job> {
        loop {
            let mut schedule = self.lock();
            let step = schedule.watch(worker);
            self.dispatch(schedule);
            match step {
                WatchStep::Run(job) => return Some(job),
                WatchStep::Stop => return None,
                WatchStep::Sleep => {
                    std::thread::park_timeout(WATCH_INTERVAL);
                    cache.sweep();
                }
            }
        }
    }

    /// Waits for a task. `None` if none came for 10 seconds, and the worker has left the pool.
    fn wait_for_task(&self, worker: &Arc<Worker>, cache: &mut IsolateCache) -> Option<Task> {
        let until = Instant::now() + IDLE_MAX;
        loop {
            if let Some(task) = worker.take_task() {
                return Some(task);
            }
            let left = until.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                std::thread::park_timeout(left);
                if let Some(task) = worker.take_task() {
                    return Some(task);
                }
                cache.sweep();
            } else if self.lock().remove_idle(worker) {
                return None;
            } else {
                // The worker was just taken for a task, which arrives soon.
                std::thread::park();
            }
        }
    }
}
