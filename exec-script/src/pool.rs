//! The threads that scripts run on: made when they are needed, gone when they have been idle for a while.
//!
//! A job goes to a thread that has a warm isolate for it, else to the one that became idle last: those that are not
//! needed stay idle, and end with what they hold.
//!
//! More threads than cores get nothing done sooner, and to wake one costs about as much as a short script. So a job waits
//! while as many scripts are computing as there are cores, and the thread that is done first takes it without being
//! woken. A script that waits for the store does not count as computing, and one that computes for long does not either:
//! as long as anything waits, one thread watches for those. They share the cores with the others as the system deals
//! them.
//!
//! A built-in of QuickJS that is written in C cannot be interrupted. A thread that is stuck in one is abandoned: it
//! counts no more, another takes its place, and it ends when the built-in does.

use crate::ledger::Ledger;
use crate::shelf::Shelf;
use crate::worker::{Role, Seat};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// More than the largest stack that a script may have.
const STACK_BYTES: usize = 4 << 20;
/// How often a thread that watches looks. A script that it meets twice computes for long: longer than short scripts take,
/// and so short that whoever waits for its core hardly notices.
pub(crate) const LOOK: Duration = Duration::from_millis(2);

/// What is done on a thread, and what is left to do once the thread is free for the next job: to answer. Whoever is
/// answered and comes again at once then finds this thread, and its warm isolate.
pub(crate) type Work = Box<dyn FnOnce(&mut Shelf, Pause) -> Finish + Send>;
pub(crate) type Finish = Box<dyn FnOnce(&mut Shelf)>;

#[derive(Clone)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    state: Mutex<State>,
    threads_max: usize,
    /// So many scripts compute at once, besides those that do for long.
    pub(crate) cores: usize,
    pub(crate) ledger: Arc<Ledger>,
}

#[derive(Default)]
pub(crate) struct State {
    queue: VecDeque<Job>,
    idle: Vec<Arc<Seat>>,
    threads: usize,
    /// What threads run.
    running: Vec<Running>,
    /// How many of these count: all but those that are [`APART`].
    busy: usize,
    /// Whether a thread looks after the queue.
    is_watched: bool,
    abandoned: usize,
}

pub(crate) struct Job {
    pub(crate) work: Work,
    pub(crate) stage: Arc<AtomicU8>,
}

struct Running {
    stage: Arc<AtomicU8>,
    /// Whether it was met by a thread that watches.
    was_met: bool,
}

/// Stages of a job. Whoever changes one from another knows that nobody else did.
pub(crate) const WAITS: u8 = 0;
pub(crate) const RUNS: u8 = 1;
const ENDED: u8 = 2;
/// Its thread was given up.
const ABANDONED: u8 = 3;
/// Nobody wanted it any more before it began.
const REFUSED: u8 = 5;
/// It runs, and does not count: it waits for something that needs no core, or has computed for long.
const APART: u8 = 4;

pub(crate) fn moves(stage: &AtomicU8, from: u8, to: u8) -> bool {
    stage.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
}

/// A job that was handed in.
pub(crate) struct Ticket {
    shared: Arc<Shared>,
    stage: Arc<AtomicU8>,
}

/// How a running job lets another one have its core while it waits.
pub(crate) struct Pause {
    pub(crate) shared: Arc<Shared>,
    pub(crate) stage: Arc<AtomicU8>,
}

impl Pool {
    pub(crate) fn new(threads_max: usize, ledger: Arc<Ledger>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { shared: Arc::new(Shared { state: Mutex::default(), threads_max, cores, ledger }) }
    }

    /// Runs `work` on the next free thread, if possible one that has what `bit` says warm.
    pub(crate) fn submit(&self, bit: u64, work: Work) -> Ticket {
        let stage = Arc::new(AtomicU8::new(WAITS));
        let ticket = Ticket { shared: Arc::clone(&self.shared), stage: Arc::clone(&stage) };
        let job = Job { work, stage };
        let mut state = self.shared.lock();
        if state.queue.is_empty()
            && state.busy < self.shared.cores
            && let Some(seat) = state.seat(bit)
        {
            state.begin(&job);
            drop(state);
            seat.call(Role::Run(job));
        } else {
            state.queue.push_back(job);
            self.shared.put_to_work(state);
        }
        ticket
    }

    /// Threads that are stuck.
    pub(crate) fn abandoned(&self) -> usize {
        self.shared.lock().abandoned
    }

    /// Threads that run or wait for work.
    pub(crate) fn threads(&self) -> usize {
        self.shared.lock().threads
    }
}

impl Ticket {
    /// Waits for this job no more. If it runs, another thread takes its thread's place; if not, it never will.
    pub(crate) fn abandon(self) {
        let mut state = self.shared.lock();
        let counts = moves(&self.stage, RUNS, ABANDONED);
        if counts || moves(&self.stage, APART, ABANDONED) {
            state.abandoned += 1;
            state.threads -= 1;
            state.busy -= usize::from(counts);
            state.forget(&self.stage);
            self.shared.put_to_work(state);
        } else {
            moves(&self.stage, WAITS, REFUSED);
        }
    }
}

impl Pause {
    /// Runs `wait`, during which the job needs no core.
    pub(crate) fn during<T>(&self, wait: impl FnOnce() -> T) -> T {
        let mut state = self.shared.lock();
        if moves(&self.stage, RUNS, APART) {
            state.busy -= 1;
            self.shared.put_to_work(state);
        } else {
            drop(state);
        }
        let _goes_on = GoesOn(self);
        wait()
    }
}

/// Ends a pause, also if what it was for panics.
struct GoesOn<'p>(&'p Pause);

impl Drop for GoesOn<'_> {
    fn drop(&mut self) {
        let Pause { shared, stage } = self.0;
        let mut state = shared.lock();
        // What was abandoned meanwhile counts no more.
        state.busy += usize::from(moves(stage, APART, RUNS));
    }
}

impl State {
    /// An idle thread: one that has what `bit` says warm, else the one that became idle last.
    fn seat(&mut self, bit: u64) -> Option<Arc<Seat>> {
        let warm = self.idle.iter().rposition(|seat| seat.has(bit));
        let at = warm.or(self.idle.len().checked_sub(1))?;
        Some(self.idle.remove(at))
    }

    /// A thread is given a job.
    fn begin(&mut self, job: &Job) {
        self.busy += 1;
        self.running.push(Running { stage: Arc::clone(&job.stage), was_met: false });
    }

    fn forget(&mut self, stage: &Arc<AtomicU8>) {
        if let Some(at) = self.running.iter().position(|running| Arc::ptr_eq(&running.stage, stage)) {
            self.running.swap_remove(at);
        }
    }

    /// A thread is done with its job; `false` if it was abandoned, and belongs to nobody any more.
    pub(crate) fn end(&mut self, stage: &Arc<AtomicU8>) -> bool {
        let counts = moves(stage, RUNS, ENDED) || moves(stage, REFUSED, ENDED);
        if !counts && !moves(stage, APART, ENDED) {
            self.abandoned -= 1;
            return false;
        }
        self.busy -= usize::from(counts);
        self.forget(stage);
        true
    }

    /// What a thread does that is done: the job that waits for longest. If there is none for it, it is idle from now on.
    pub(crate) fn next(&mut self, cores: usize, seat: &Arc<Seat>) -> Option<Job> {
        let job = if self.busy < cores { self.queue.pop_front() } else { None };
        match &job {
            Some(job) => self.begin(job),
            None => self.idle.push(Arc::clone(seat)),
        }
        job
    }

    /// What a thread that watches does next.
    pub(crate) fn watch(&mut self, cores: usize, seat: &Arc<Seat>) -> Watch {
        for running in &mut self.running {
            if running.was_met && moves(&running.stage, RUNS, APART) {
                self.busy -= 1;
            }
            running.was_met = true;
        }
        if !self.queue.is_empty() && self.busy >= cores {
            return Watch::Sleep;
        }
        self.is_watched = false;
        self.next(cores, seat).map_or(Watch::Over, Watch::Run)
    }

    /// An idle thread leaves; `false` if it was just called, and must answer.
    pub(crate) fn leave(&mut self, seat: &Arc<Seat>) -> bool {
        let Some(at) = self.idle.iter().position(|idle| Arc::ptr_eq(idle, seat)) else { return false };
        self.idle.remove(at);
        self.threads -= 1;
        true
    }
}

/// See [`State::watch`].
pub(crate) enum Watch {
    /// There is a core for this.
    Run(Job),
    /// There is none yet for what waits.
    Sleep,
    /// There is nothing to watch: the thread is idle from now on.
    Over,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Only counters and lists change under this lock, so a panic leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives what waits to threads as far as there are cores for it, and has the rest watched. Called whenever something
    /// waits that did not before, or a core or a thread became free.
    pub(crate) fn put_to_work(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        let mut called = Vec::new();
        while state.busy < self.cores && (!state.idle.is_empty() || state.threads < self.threads_max) {
            let Some(job) = state.queue.pop_front() else { break };
            state.begin(&job);
            let seat = state.seat(0);
            state.threads += usize::from(seat.is_none());
            called.push((seat, Role::Run(job)));
        }
        if !state.queue.is_empty() && !state.is_watched {
            // The one that became idle first is needed least.
            let seat = (!state.idle.is_empty()).then(|| state.idle.remove(0));
            if seat.is_some() || state.threads < self.threads_max {
                state.is_watched = true;
                state.threads += usize::from(seat.is_none());
                called.push((seat, Role::Watch));
            }
        }
        drop(state);
        for (seat, role) in called {
            match seat {
                Some(seat) => seat.call(role),
                None => self.spawn(role),
            }
        }
    }

    /// Starts a thread that is counted already.
    fn spawn(self: &Arc<Self>, role: Role) {
        let role = Arc::new(Mutex::new(Some(role)));
        let take = |role: &Mutex<Option<Role>>| role.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (shared, its_role) = (Arc::clone(self), Arc::clone(&role));
        let work = move || {
            if let Some(role) = take(&its_role) {
                shared.work(role);
            }
        };
        let builder = std::thread::Builder::new().name("tidegate-script".to_owned()).stack_size(STACK_BYTES);
        if builder.spawn(work).is_err() {
            let mut state = self.lock();
            state.threads -= 1;
            match take(&role) {
                // It waits on, for a thread that becomes free.
                Some(Role::Run(job)) => {
                    state.busy -= 1;
                    state.forget(&job.stage);
                    state.queue.push_front(job);
                }
                Some(Role::Watch) | None => state.is_watched = false,
            }
        }
    }
}
