//! When an execution has to end.

use rustix::time::{ClockId, clock_gettime};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};
use tidegate_core::{ExecError, Failure};

/// When a script has to end, looked at by QuickJS every so often. What it throws then cannot be caught.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) deadline: Instant,
    pub(crate) timeout: Duration,
    pub(crate) cpu_max: Duration,
    pub(crate) cancelled: Arc<AtomicBool>,
    reason: Arc<AtomicU8>,
}

const RUNS: u8 = 0;
const TIMED_OUT: u8 = 1;
const CPU_USED_UP: u8 = 2;
const CANCELLED: u8 = 3;

impl Guard {
    pub(crate) fn new(timeout: Duration, cpu_max: Duration, cancelled: Arc<AtomicBool>) -> Self {
        let deadline = Instant::now() + timeout;
        Self { deadline, timeout, cpu_max, cancelled, reason: Arc::new(AtomicU8::new(RUNS)) }
    }

    /// What QuickJS asks whether to go on, for one execution that begins now on this thread.
    pub(crate) fn watch(&self, clock: &CpuClock) -> impl FnMut() -> bool + 'static {
        let (guard, mut used) = (self.clone(), CpuUsed::new(clock));
        move || guard.is_over(&mut used)
    }

    /// Whether the script has to end now.
    fn is_over(&self, used: &mut CpuUsed) -> bool {
        let reason = if self.cancelled.load(Ordering::Relaxed) {
            CANCELLED
        } else if Instant::now() >= self.deadline {
            TIMED_OUT
        } else if used.so_far() >= self.cpu_max {
            CPU_USED_UP
        } else {
            return false;
        };
        self.reason.store(reason, Ordering::Relaxed);
        true
    }

    /// Why the script was ended, if it was.
    pub(crate) fn failure(&self) -> Option<Failure> {
        match self.reason.load(Ordering::Relaxed) {
            TIMED_OUT => Some(timed_out(self.timeout)),
            CPU_USED_UP => Some(Failure::new(
                ExecError::ResourceLimit,
                format!("the script used more CPU than scripts.cpu_ms_max allows ({} ms)", self.cpu_max.as_millis()),
            )),
            CANCELLED => Some(cancelled()),
            _ => None,
        }
    }

    /// Why the script must not even begin: it waited for a thread until nobody wants it any more.
    pub(crate) fn refusal(&self) -> Option<Failure> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Some(cancelled());
        }
        (Instant::now() >= self.deadline).then(|| timed_out(self.timeout))
    }
}

pub(crate) fn timed_out(timeout: Duration) -> Failure {
    Failure::new(ExecError::Timeout, format!("ran past its timeout_ms of {} ms", timeout.as_millis()))
}

fn cancelled() -> Failure {
    Failure::new(ExecError::Lost, "the execution was cancelled")
}

/// What a thread had used of its CPU when that was last read; for what never leaves that thread.
#[derive(Clone)]
pub(crate) struct CpuClock(Rc<Cell<Duration>>);

impl CpuClock {
    /// Of this thread.
    pub(crate) fn new() -> Self {
        Self(Rc::new(Cell::new(cpu_time())))
    }
}

/// How much CPU time one execution has used.
///
/// To read a thread's CPU time is a system call, and most executions end before QuickJS asks for the first time. So it is not
/// read when one begins. Until the first question it has used no more than the time that has passed, and no more than its
/// thread has used since that was last read: the lesser of the two is what it is charged.
struct CpuUsed {
    clock: CpuClock,
    began: Instant,
    /// What the thread had used when the execution began, as far as is known.
    before: Option<Duration>,
}

impl CpuUsed {
    fn new(clock: &CpuClock) -> Self {
        Self { clock: clock.clone(), began: Instant::now(), before: None }
    }

    fn so_far(&mut self) -> Duration {
        let now = cpu_time();
        let last_read = self.clock.0.replace(now);
        let before = *self.before.get_or_insert_with(|| last_read.max(now.saturating_sub(self.began.elapsed())));
        now.saturating_sub(before)
    }
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spin(time: Duration) {
        let began = cpu_time();
        while cpu_time().saturating_sub(began) < time {}
    }

    #[test]
    fn what_is_used_before_the_first_question_counts() {
        let mut used = CpuUsed::new(&CpuClock::new());
        spin(Duration::from_millis(5));
        assert!(used.so_far() >= Duration::from_millis(5));
        spin(Duration::from_millis(5));
        assert!(used.so_far() >= Duration::from_millis(10));
    }

    #[test]
    fn what_the_thread_did_for_others_does_not_count() {
        let clock = CpuClock::new();
        spin(Duration::from_millis(20));
        let mut used = CpuUsed::new(&clock);
        assert!(used.so_far() < Duration::from_millis(20));
    }

    #[test]
    fn to_wait_before_the_first_question_is_not_to_compute() {
        let mut used = CpuUsed::new(&CpuClock::new());
        std::thread::sleep(Duration::from_millis(50));
        assert!(used.so_far() < Duration::from_millis(50));
    }
}
