//! The threads that scripts run on: made when they are needed, gone when they have been idle for a while.
//!
//! A built-in of QuickJS that is written in C cannot be interrupted. A thread that is stuck in one is abandoned: it
//! counts no more, another takes its place, and it ends when the built-in does.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// More than the largest stack that a script may have.
const STACK_BYTES: usize = 4 << 20;
/// A thread that had nothing to do for this long ends.
const IDLE_MAX: Duration = Duration::from_secs(10);

type Work = Box<dyn FnOnce() + Send>;

#[derive(Clone)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    threads_max: usize,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    idle: usize,
    threads: usize,
    abandoned: usize,
}

struct Job {
    work: Work,
    abandoned: Arc<AtomicBool>,
}

/// A job that was handed in.
pub(crate) struct Ticket {
    shared: Arc<Shared>,
    abandoned: Arc<AtomicBool>,
}

impl Pool {
    pub(crate) fn new(threads_max: usize) -> Self {
        let shared = Shared { state: Mutex::default(), wake: Condvar::new(), threads_max };
        Self { shared: Arc::new(shared) }
    }

    /// Runs `work` on the next free thread.
    pub(crate) fn submit(&self, work: impl FnOnce() + Send + 'static) -> Ticket {
        let abandoned = Arc::new(AtomicBool::new(false));
        let mut state = self.shared.lock();
        state.queue.push_back(Job { work: Box::new(work), abandoned: Arc::clone(&abandoned) });
        if state.idle < state.queue.len() && state.threads < self.shared.threads_max {
            state.threads += 1;
            drop(state);
            self.spawn();
        } else {
            drop(state);
            self.shared.wake.notify_one();
        }
        Ticket { shared: Arc::clone(&self.shared), abandoned }
    }

    /// Threads that are stuck.
    pub(crate) fn abandoned(&self) -> usize {
        self.shared.lock().abandoned
    }

    /// Threads that run or wait for work.
    pub(crate) fn threads(&self) -> usize {
        self.shared.lock().threads
    }

    fn spawn(&self) {
        let shared = Arc::clone(&self.shared);
        let builder = std::thread::Builder::new().name("tidegate-script".to_owned()).stack_size(STACK_BYTES);
        if builder.spawn(move || shared.work()).is_err() {
            // The job stays queued for a thread that becomes free.
            self.shared.lock().threads -= 1;
        }
    }
}

impl Ticket {
    /// Waits for this job no more, and lets another thread take its place.
    pub(crate) fn abandon(self) {
        if !self.abandoned.swap(true, Ordering::SeqCst) {
            let mut state = self.shared.lock();
            state.abandoned += 1;
            state.threads = state.threads.saturating_sub(1);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Only counters and a queue change under this lock, so a panic leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            // A panic is the job's own affair: its answer's sender is dropped, which says so.
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(job.work)).ok();
            if job.abandoned.load(Ordering::SeqCst) {
                self.lock().abandoned -= 1;
                return;
            }
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.queue.pop_front() {
                return Some(job);
            }
            state.idle += 1;
            let (guard, waited) = self.wake.wait_timeout(state, IDLE_MAX).unwrap_or_else(PoisonError::into_inner);
            state = guard;
            state.idle -= 1;
            if waited.timed_out() && state.queue.is_empty() {
                state.threads -= 1;
                return None;
            }
        }
    }
}
