//! The store's clock. It follows the clock of the system, but it never goes back.
//!
//! If the system's clock is set back, the store's clock goes on from its last time at the speed of
//! the monotonic clock. A clock that waited until the system's clock has caught up would delay each
//! retry, lease and schedule by the distance. The file keeps the clock, so that a restart does not
//! set it back either.

use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tidegate_core::{Micros, Mono, Timestamp};

/// The two clocks of this machine, read together.
#[derive(Clone, Copy, Debug)]
struct Reading {
    system: Timestamp,
    mono: Mono,
}

#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    last: Timestamp,
    /// When `last` was the time.
    at: Mono,
    /// Whether the store's clock is ahead by [`AHEAD_MIN`] or more.
    is_ahead: bool,
}

/// A smaller distance from the system's clock is not reported.
const AHEAD_MIN: Micros = Micros::from_secs(1);

impl Clock {
    /// A clock that starts at `earliest` or at the time of the system, whichever is later.
    pub(crate) fn not_before(earliest: Timestamp) -> Self {
        let state = State { last: earliest, at: Mono(0), is_ahead: false };
        Self { started: Instant::now(), state: Mutex::new(state) }
    }

    /// The time for a reader.
    pub(crate) fn now(&self) -> Timestamp {
        self.read(|state, reading| state.now(reading))
    }

    /// A time that no earlier call has returned, neither this one nor [`Clock::now`]. It is the
    /// time of a job, or the number of a claim.
    pub(crate) fn tick(&self) -> Timestamp {
        self.read(|state, reading| state.tick(reading))
    }

    fn read(&self, read: impl FnOnce(&mut State, Reading) -> Timestamp) -> Timestamp {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mono = Mono(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX));
        let reading = Reading { system: system_now(), mono };
        let now = read(&mut state, reading);
        if let Some(distance) = state.new_distance(reading) {
            let seconds = distance.as_millis() / 1_000;
            tracing::warn!(
                "the clock of the system is {seconds} s behind the store's clock, probably because it was set back; \
                 the store's clock goes on from its last time, so that nothing waits longer; \
                 schedules tick {seconds} s early until the clock of the system has caught up"
            );
        }
        now
    }
}

impl State {
    fn now(&mut self, reading: Reading) -> Timestamp {
        let passed = reading.mono.since(self.at);
        self.last = self.last.plus(passed).max(reading.system);
        self.at = reading.mono;
        self.last
    }

    fn tick(&mut self, reading: Reading) -> Timestamp {
        let before = self.last;
        self.last = self.now(reading).max(before.plus(Micros(1)));
        self.last
    }

    /// The distance from the system's clock, when it has become [`AHEAD_MIN`] or more.
    fn new_distance(&mut self, reading: Reading) -> Option<Micros> {
        let distance = self.last.since(reading.system);
        let was_ahead = std::mem::replace(&mut self.is_ahead, distance >= AHEAD_MIN);
        (self.is_ahead && !was_ahead).then_some(distance)
    }
}

fn system_now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    /// The times of the store for readings of the system's and the monotonic clock, in seconds.
    fn times(readings: &[(i64, u64)]) -> Vec<(i64, Option<u64>)> {
        let mut state = State { last: Timestamp(100 * SECOND), at: Mono(0), is_ahead: false };
        let read = |(system, mono): &(i64, u64)| {
            let reading = Reading { system: Timestamp(system * SECOND), mono: Mono(mono * SECOND as u64) };
            let now = state.now(reading).0 / SECOND;
            (now, state.new_distance(reading).map(|distance| distance.as_millis() / 1_000))
        };
        readings.iter().map(read).collect()
    }

    #[test]
    fn the_clock_follows_a_system_clock_that_is_ahead() {
        assert_eq!(times(&[(200, 1), (201, 2), (900, 3)]), [(200, None), (201, None), (900, None)]);
    }

    #[test]
    fn the_clock_goes_on_when_the_system_clock_is_set_back_and_warns_once() {
        let set_back = [(200, 1), (140, 2), (141, 3), (200, 62), (302, 102), (210, 103)];
        let expected = [(200, None), (201, Some(61)), (202, None), (261, None), (302, None), (303, Some(93))];
        assert_eq!(times(&set_back), expected);
    }

    #[test]
    fn the_clock_starts_after_the_newest_time_of_the_file() {
        assert_eq!(times(&[(40, 0), (41, 1)]), [(100, Some(60)), (101, None)]);
    }

    #[test]
    fn no_tick_is_repeated() {
        let mut state = State { last: Timestamp(5), at: Mono(0), is_ahead: false };
        let reading = Reading { system: Timestamp(3), mono: Mono(1) };
        assert_eq!((state.tick(reading), state.tick(reading)), (Timestamp(6), Timestamp(7)));
        assert_eq!(state.now(reading), Timestamp(7));
    }
}
