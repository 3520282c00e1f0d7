//! Ends an execution that is cancelled, or that has used up its time or its CPU time.

use rustix::time::{ClockId, clock_gettime};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};
use tidegate_core::{ExecError, Failure};

/// The limits of one execution. QuickJS calls its interrupt handler regularly. A script cannot
/// catch the exception that ends it.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) deadline: Instant,
    pub(crate) cancelled: Arc<AtomicBool>,
    timeout: Duration,
    cpu_max: Duration,
    reason: Arc<AtomicU8>,
}

const NOT_ENDED: u8 = 0;
const TIMED_OUT: u8 = 1;
const CPU_EXHAUSTED: u8 = 2;
const CANCELLED: u8 = 3;

impl Guard {
    pub(crate) fn new(timeout: Duration, cpu_max: Duration, cancelled: Arc<AtomicBool>) -> Self {
        let deadline = Instant::now() + timeout;
        Self { deadline, cancelled, timeout, cpu_max, reason: Arc::new(AtomicU8::new(NOT_ENDED)) }
    }

    /// QuickJS's interrupt handler for an execution that begins now on this thread. It returns
    /// `true` to end the script.
    pub(crate) fn interrupt_handler(&self, clock: &CpuClock) -> impl FnMut() -> bool + 'static {
        let (guard, mut cpu) = (self.clone(), ExecutionCpu::new(clock));
        move || guard.must_end(&mut cpu)
    }

    fn must_end(&self, cpu: &mut ExecutionCpu) -> bool {
        let reason = if self.cancelled.load(Ordering::Relaxed) {
            CANCELLED
        } else if Instant::now() >= self.deadline {
            TIMED_OUT
        } else if cpu.used() >= self.cpu_max {
            CPU_EXHAUSTED
        } else {
            return false;
        };
        self.reason.store(reason, Ordering::Relaxed);
        true
    }

    /// The failure of a script that the guard ended.
    pub(crate) fn failure(&self) -> Option<Failure> {
        match self.reason.load(Ordering::Relaxed) {
            TIMED_OUT => Some(timed_out(self.timeout)),
            CPU_EXHAUSTED => Some(Failure::new(
                ExecError::ResourceLimit,
                format!(
                    "the script used more CPU time than scripts.cpu_ms_max allows ({} ms)",
                    self.cpu_max.as_millis()
                ),
            )),
            CANCELLED => Some(cancelled()),
            _ => None,
        }
    }
}

pub(crate) fn timed_out(timeout: Duration) -> Failure {
    Failure::new(ExecError::Timeout, format!("the script ran past its timeout_ms of {} ms", timeout.as_millis()))
}

fn cancelled() -> Failure {
    Failure::new(ExecError::Lost, "the execution was cancelled")
}

/// The CPU time of the current thread when its isolate last read it.
#[derive(Clone)]
pub(crate) struct CpuClock(Rc<Cell<Duration>>);

impl CpuClock {
    pub(crate) fn new() -> Self {
        Self(Rc::new(Cell::new(thread_cpu_time())))
    }
}

/// The CPU time that one execution has used.
///
/// Reading a thread's CPU time is a system call, and most executions end before QuickJS calls the
/// interrupt handler for the first time. So the CPU time is not read when an execution begins. At
/// the first call, the execution has used at most the wall time since it began, and at most the CPU
/// time of its thread since the last reading. The smaller of the two is charged.
struct ExecutionCpu {
    clock: CpuClock,
    began: Instant,
    /// The estimated CPU time of the thread when the execution began. `None` until the first
    /// reading.
    before: Option<Duration>,
}

impl ExecutionCpu {
    fn new(clock: &CpuClock) -> Self {
        Self { clock: clock.clone(), began: Instant::now(), before: None }
    }

    fn used(&mut self) -> Duration {
        let now = thread_cpu_time();
        let last_read = self.clock.0.replace(now);
        let before = *self.before.get_or_insert_with(|| last_read.max(now.saturating_sub(self.began.elapsed())));
        now.saturating_sub(before)
    }
}

fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spin(time: Duration) {
        let began = thread_cpu_time();
        while thread_cpu_time().saturating_sub(began) < time {}
    }

    #[test]
    fn cpu_time_before_the_first_reading_counts() {
        let mut cpu = ExecutionCpu::new(&CpuClock::new());
        spin(Duration::from_millis(5));
        assert!(cpu.used() >= Duration::from_millis(5));
        spin(Duration::from_millis(5));
        assert!(cpu.used() >= Duration::from_millis(10));
    }

    #[test]
    fn cpu_time_of_earlier_executions_does_not_count() {
        let clock = CpuClock::new();
        spin(Duration::from_millis(20));
        let mut cpu = ExecutionCpu::new(&clock);
        assert!(cpu.used() < Duration::from_millis(20));
    }

    #[test]
    fn a_wait_before_the_first_reading_costs_no_cpu_time() {
        let mut cpu = ExecutionCpu::new(&CpuClock::new());
        std::thread::sleep(Duration::from_millis(50));
        assert!(cpu.used() < Duration::from_millis(50));
    }
}
