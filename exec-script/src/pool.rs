//! The threads that scripts run on: made when they are needed, gone when they have been idle for a while.
//!
//! A job goes to a thread that has a warm isolate for it, else to the one that became idle last: those that are not
//! needed stay idle, and end with what they hold.
//!
//! A built-in of QuickJS that is written in C cannot be interrupted. A thread that is stuck in one is abandoned: it
//! counts no more, another takes its place, and it ends when the built-in does.

use crate::ledger::Ledger;
use crate::shelf::{IDLE_MAX, Shelf};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Instant;

/// More than the largest stack that a script may have.
const STACK_BYTES: usize = 4 << 20;

/// What is done on a thread, and what is left to do once the thread is free for the next job: to answer. Whoever is
/// answered and comes again at once then finds this thread, and its warm isolate.
type Work = Box<dyn FnOnce(&mut Shelf) -> Finish + Send>;
type Finish = Box<dyn FnOnce(&mut Shelf)>;

#[derive(Clone)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    threads_max: usize,
    ledger: Arc<Ledger>,
}

#[derive(Default)]
struct State {
    /// Empty while a thread is idle.
    queue: VecDeque<Job>,
    idle: Vec<Arc<Seat>>,
    threads: usize,
    abandoned: usize,
}

/// Where an idle thread is handed its next job.
struct Seat {
    thread: Thread,
    job: Mutex<Option<Job>>,
    /// See [`Shelf::bits`].
    warm: AtomicU64,
}

struct Job {
    work: Work,
    stage: Arc<AtomicU8>,
}

/// Stages of a job. Whoever changes one from another knows that nobody else did.
const WAITS: u8 = 0;
const RUNS: u8 = 1;
const ENDED: u8 = 2;
const ABANDONED: u8 = 3;

fn moves(stage: &AtomicU8, from: u8, to: u8) -> bool {
    stage.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
}

/// A job that was handed in.
pub(crate) struct Ticket {
    shared: Arc<Shared>,
    stage: Arc<AtomicU8>,
}

impl Pool {
    pub(crate) fn new(threads_max: usize, ledger: Arc<Ledger>) -> Self {
        Self { shared: Arc::new(Shared { state: Mutex::default(), threads_max, ledger }) }
    }

    /// Runs `work` on the next free thread, if possible one that has what `bit` says warm.
    pub(crate) fn submit(&self, bit: u64, work: Work) -> Ticket {
        let stage = Arc::new(AtomicU8::new(WAITS));
        let job = Job { work, stage: Arc::clone(&stage) };
        let mut state = self.shared.lock();
        let warm = state.idle.iter().rposition(|seat| seat.warm.load(Ordering::Relaxed) & bit != 0);
        if let Some(at) = warm.or(state.idle.len().checked_sub(1)) {
            let seat = state.idle.remove(at);
            drop(state);
            *seat.lock() = Some(job);
            seat.thread.unpark();
        } else {
            state.queue.push_back(job);
            if state.threads < self.shared.threads_max {
                state.threads += 1;
                drop(state);
                self.spawn();
            }
        }
        Ticket { shared: Arc::clone(&self.shared), stage }
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
    /// Waits for this job no more. If it runs, another thread takes its thread's place; if not, it never will.
    pub(crate) fn abandon(self) {
        let mut state = self.shared.lock();
        if moves(&self.stage, RUNS, ABANDONED) {
            state.abandoned += 1;
            state.threads -= 1;
        } else {
            moves(&self.stage, WAITS, ABANDONED);
        }
    }
}

impl Seat {
    fn lock(&self) -> MutexGuard<'_, Option<Job>> {
        self.job.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Only counters and lists change under this lock, so a panic leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let seat = Arc::new(Seat { thread: std::thread::current(), job: Mutex::default(), warm: AtomicU64::new(0) });
        let mut shelf = Shelf::new(Arc::clone(&self.ledger));
        let mut finish: Option<Finish> = None;
        loop {
            let queued = self.next(&seat, &shelf);
            if let Some(finish) = finish.take() {
                finish(&mut shelf);
            }
            let Some(Job { work, stage }) = queued.or_else(|| self.wait(&seat, &mut shelf)) else { return };
            if !moves(&stage, WAITS, RUNS) {
                continue;
            }
            // A panic is the job's own affair: its answer's sender is dropped, which says so.
            finish = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&mut shelf))).ok();
            if !moves(&stage, RUNS, ENDED) {
                self.lock().abandoned -= 1;
                return;
            }
        }
    }

    /// The job that waits for longest. If there is none, the thread is idle from now on.
    fn next(&self, seat: &Arc<Seat>, shelf: &Shelf) -> Option<Job> {
        let mut state = self.lock();
        let job = state.queue.pop_front();
        if job.is_none() {
            seat.warm.store(shelf.bits(), Ordering::Relaxed);
            state.idle.push(Arc::clone(seat));
        }
        job
    }

    /// Waits to be handed a job. `None` if there was none for so long that the thread has left the pool.
    fn wait(&self, seat: &Arc<Seat>, shelf: &mut Shelf) -> Option<Job> {
        let until = Instant::now() + IDLE_MAX;
        loop {
            if let Some(job) = seat.lock().take() {
                return Some(job);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let mut state = self.lock();
                if let Some(at) = state.idle.iter().position(|idle| Arc::ptr_eq(idle, seat)) {
                    state.idle.remove(at);
                    state.threads -= 1;
                    return None;
                }
                // It was just taken for a job, which comes.
                drop(state);
                std::thread::park();
            } else {
                std::thread::park_timeout(left);
                shelf.sweep();
            }
        }
    }
}
