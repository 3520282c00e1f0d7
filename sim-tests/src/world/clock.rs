//! A daemon's clock. It may run at another rate, stand still or jump ahead, and never goes back.

use tidegate_core::{Micros, Mono};

/// The monotonic clock of one life.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// The reading of this clock at `at`.
    mono: u64,
    /// A time of the world's clock.
    at: u64,
    /// The rate in thousandths of the world's rate.
    permille: u64,
}

impl Clock {
    pub(super) fn starting(now: u64) -> Self {
        Self { mono: 0, at: now, permille: 1_000 }
    }

    pub(super) fn read(&self, now: u64) -> Mono {
        Mono(self.mono + (now - self.at) * self.permille / 1_000)
    }

    pub(super) fn set_rate(&mut self, now: u64, permille: u32) {
        *self = Self { mono: self.read(now).0, at: now, permille: u64::from(permille) };
    }

    pub(super) fn leap(&mut self, by: u64) {
        self.mono += by;
    }

    /// The time of the world's clock at which this clock reads `at`. `None` while this clock is
    /// stopped.
    pub(super) fn when(&self, at: Mono, now: u64) -> Option<u64> {
        let Micros(left) = at.since(self.read(now));
        (self.permille > 0).then(|| now + (left * 1_000).div_ceil(self.permille))
    }
}
