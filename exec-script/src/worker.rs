//! What a thread of the pool does.

use crate::pool::{Finish, Job, LOOK, Pause, RUNS, Shared, WAITS, Watch, moves};
use crate::shelf::{IDLE_MAX, Shelf};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Instant;

/// What an idle thread is called for.
pub(crate) enum Role {
    /// To run this.
    Run(Job),
    /// To look after what waits.
    Watch,
}

/// Where an idle thread is called.
pub(crate) struct Seat {
    thread: Thread,
    role: Mutex<Option<Role>>,
    /// See [`Shelf::bits`].
    warm: AtomicU64,
}

impl Seat {
    /// Whether its thread probably has what `bit` says warm.
    pub(crate) fn has(&self, bit: u64) -> bool {
        self.warm.load(Ordering::Relaxed) & bit != 0
    }

    /// Calls its thread, which must have been idle and must not be called by anybody else.
    pub(crate) fn call(&self, role: Role) {
        *self.lock() = Some(role);
        self.thread.unpark();
    }

    fn lock(&self) -> MutexGuard<'_, Option<Role>> {
        self.role.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// A thread's life.
    pub(crate) fn work(self: &Arc<Self>, role: Role) {
        let seat = Arc::new(Seat { thread: std::thread::current(), role: Mutex::default(), warm: AtomicU64::new(0) });
        let mut shelf = Shelf::new(Arc::clone(&self.ledger));
        let mut job = self.job_of(role, &seat, &mut shelf);
        while let Some(Job { work, stage }) = job {
            let mut finish: Option<Finish> = None;
            if moves(&stage, WAITS, RUNS) {
                let pause = Pause { shared: Arc::clone(self), stage: Arc::clone(&stage) };
                // A panic is the job's own affair: its answer's sender is dropped, which says so.
                finish = catch_unwind(AssertUnwindSafe(|| work(&mut shelf, pause))).ok();
            }
            // Before anybody can see that it is idle.
            seat.warm.store(shelf.bits(), Ordering::Relaxed);
            let mut state = self.lock();
            if !state.end(&stage) {
                return;
            }
            job = state.next(self.cores, &seat);
            self.put_to_work(state);
            if let Some(finish) = finish {
                finish(&mut shelf);
            }
            if job.is_none() {
                job = self.wait(&seat, &mut shelf).and_then(|role| self.job_of(role, &seat, &mut shelf));
            }
        }
    }

    /// What it is called for to run, at once or after a watch. `None` if it has left the pool.
    fn job_of(self: &Arc<Self>, mut role: Role, seat: &Arc<Seat>, shelf: &mut Shelf) -> Option<Job> {
        loop {
            match role {
                Role::Run(job) => return Some(job),
                Role::Watch => {
                    if let Some(job) = self.watch(seat, shelf) {
                        return Some(job);
                    }
                }
            }
            role = self.wait(seat, shelf)?;
        }
    }

    /// Looks after what waits, until there is a core for it or nothing is left.
    fn watch(self: &Arc<Self>, seat: &Arc<Seat>, shelf: &mut Shelf) -> Option<Job> {
        loop {
            let mut state = self.lock();
            let next = state.watch(self.cores, seat);
            self.put_to_work(state);
            match next {
                Watch::Run(job) => return Some(job),
                Watch::Over => return None,
                Watch::Sleep => {
                    std::thread::park_timeout(LOOK);
                    shelf.sweep();
                }
            }
        }
    }

    /// Waits to be called. `None` if nobody did for so long that the thread has left the pool.
    fn wait(&self, seat: &Arc<Seat>, shelf: &mut Shelf) -> Option<Role> {
        let until = Instant::now() + IDLE_MAX;
        loop {
            if let Some(role) = seat.lock().take() {
                return Some(role);
            }
            let left = until.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                std::thread::park_timeout(left);
                if let Some(role) = seat.lock().take() {
                    return Some(role);
                }
                shelf.sweep();
            } else if self.lock().leave(seat) {
                return None;
            } else {
                // It was just called, and hears of it soon.
                std::thread::park();
            }
        }
    }
}
