//! A daemon's clock, with a rate and jumps that faults set. It never goes back.

use madsim::time::{Duration, Instant};
use std::sync::{Arc, Mutex};
use tidegate_core::Mono;
use tidegate_ports::Clock;

/// The clock of one life. Cheap to clone.
#[derive(Clone)]
pub(super) struct SkewedClock(Arc<Mutex<Reading>>);

struct Reading {
    /// The moment of this reading.
    at: Instant,
    /// The reading, in thousandths of a microsecond.
    mono_ns: u64,
    /// The rate in thousandths of the right one.
    permille: u64,
}

/// A stopped clock is read again after this time.
const REREAD_AFTER: Duration = Duration::from_millis(50);

impl SkewedClock {
    pub(super) fn start() -> Self {
        Self(Arc::new(Mutex::new(Reading { at: Instant::now(), mono_ns: 0, permille: 1_000 })))
    }

    pub(super) fn set_rate(&self, permille: u32) {
        self.read(|reading| reading.permille = u64::from(permille));
    }

    pub(super) fn leap(&self, by: u64) {
        self.read(|reading| reading.mono_ns += by * 1_000);
    }

    /// Reads the clock, then makes a change.
    fn read<T>(&self, change: impl FnOnce(&mut Reading) -> T) -> T {
        let mut reading = self.0.lock().expect("no lock is poisoned");
        let passed_us = u64::try_from(reading.at.elapsed().as_micros()).unwrap_or(u64::MAX);
        reading.at += Duration::from_micros(passed_us);
        reading.mono_ns += passed_us * reading.permille;
        change(&mut reading)
    }
}

impl Clock for SkewedClock {
    fn now(&self) -> Mono {
        self.read(|reading| Mono(reading.mono_ns / 1_000))
    }

    fn when(&self, at: Mono) -> Instant {
        let (now_ns, permille) = self.read(|reading| (reading.mono_ns, reading.permille));
        let left_ns = (at.0 * 1_000).saturating_sub(now_ns);
        let wait = if permille == 0 { REREAD_AFTER } else { Duration::from_micros(left_ns.div_ceil(permille)) };
        Instant::now() + wait
    }
}
