//! When an execution has to end.

use rustix::time::{ClockId, clock_gettime};
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
    pub(crate) fn watch(&self) -> impl FnMut() -> bool + 'static {
        let (guard, cpu_began) = (self.clone(), cpu_time());
        move || guard.is_over(cpu_began)
    }

    /// Whether the script has to end now.
    fn is_over(&self, cpu_began: Duration) -> bool {
        let reason = if self.cancelled.load(Ordering::Relaxed) {
            CANCELLED
        } else if Instant::now() >= self.deadline {
            TIMED_OUT
        } else if cpu_time().saturating_sub(cpu_began) >= self.cpu_max {
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

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
