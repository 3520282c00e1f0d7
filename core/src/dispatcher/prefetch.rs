//! The number of rows to claim ahead of free permits: the number that the handlers finish in two
//! round trips. Both the rate and the round trip are measured. So fast handlers never wait for the
//! store, and slow handlers hold no rows that another daemon could run.
//!
//! The rate is that of the time in which handlers run. So it is known after the first few rows of a
//! backlog, although the handlers have waited for the store most of the time until then.

use crate::time::{Micros, Mono};

#[derive(Clone, Copy, Debug)]
pub(super) struct Prefetch {
    /// Executions that ended since `since`.
    ended: u64,
    /// The time since `since` in which at least one execution ran.
    busy: Micros,
    since: Mono,
    /// The time up to which `busy` is counted.
    counted_to: Mono,
    ended_per_second: u64,
    round_trip: Micros,
}

/// A shorter time would measure the resolution of the clock and not the handlers.
const BUSY_MIN: Micros = Micros(100);
/// A busy time of this length counts as much as the rate before it.
const EQUAL_WEIGHT_SPAN: Micros = Micros::from_millis(20);
/// After a longer span the rate before it does not count.
const SPAN_MAX: Micros = Micros::from_millis(500);

impl Prefetch {
    pub(super) fn new(now: Mono) -> Self {
        Self {
            ended: 0,
            busy: Micros::ZERO,
            since: now,
            counted_to: now,
            ended_per_second: 0,
            round_trip: Micros::ZERO,
        }
    }

    /// Time has passed. `is_busy` tells whether executions ran until `now`.
    pub(super) fn advance(&mut self, now: Mono, is_busy: bool) {
        if is_busy {
            self.busy = Micros(self.busy.0.saturating_add(now.since(self.counted_to).0));
        }
        self.counted_to = now;
    }

    /// Counts an execution that ended.
    pub(super) fn ended(&mut self) {
        self.ended = self.ended.saturating_add(1);
    }

    /// Updates the rate with the executions that ended since the last update. Call it before a
    /// claim.
    pub(super) fn measure(&mut self, now: Mono) {
        let is_old = now.since(self.since) > SPAN_MAX;
        if self.busy < BUSY_MIN && !is_old {
            return;
        }
        let (ended, busy) = (std::mem::take(&mut self.ended), std::mem::take(&mut self.busy));
        self.since = now;
        if busy < BUSY_MIN {
            self.ended_per_second = 0;
            return;
        }
        let rate = ended.saturating_mul(1_000_000) / busy.0;
        // The weight is the busy time. Otherwise a millisecond would count as much as a second.
        self.ended_per_second = if is_old || self.ended_per_second == 0 {
            rate
        } else {
            (self.ended_per_second * EQUAL_WEIGHT_SPAN.0 + rate * busy.0) / (EQUAL_WEIGHT_SPAN.0 + busy.0)
        };
    }

    /// Updates the round trip with the duration of an exchange.
    pub(super) fn answered(&mut self, took: Micros) {
        self.round_trip = match self.round_trip {
            Micros::ZERO => took,
            before => Micros(before.0.saturating_mul(3).saturating_add(took.0) / 4),
        };
    }

    /// The rows to claim ahead, at most `rows_max`.
    pub(super) fn rows(&self, rows_max: u32) -> u32 {
        let rows = self.ended_per_second.saturating_mul(2).saturating_mul(self.round_trip.0) / 1_000_000;
        u32::try_from(rows).unwrap_or(u32::MAX).min(rows_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_claimed_ahead_for_fast_handlers_only() {
        let mut prefetch = Prefetch::new(Mono(0));
        assert_eq!(prefetch.rows(1_000), 0);
        for round in 1..=60_u64 {
            (0..100).for_each(|_| prefetch.ended());
            prefetch.advance(Mono(round * 2_000), true);
            prefetch.measure(Mono(round * 2_000));
            prefetch.answered(Micros(2_000));
        }
        assert!((150..=200).contains(&prefetch.rows(1_000)), "50,000/s for 4 ms: {}", prefetch.rows(1_000));
        assert_eq!(prefetch.rows(10), 10);
        prefetch.ended();
        prefetch.advance(Mono(1_120_000), true);
        prefetch.measure(Mono(1_120_000));
        assert_eq!(prefetch.rows(1_000), 0, "one execution in a second");
    }

    #[test]
    fn the_rate_is_known_after_the_first_rows() {
        let mut prefetch = Prefetch::new(Mono(0));
        prefetch.advance(Mono(5_000), false);
        (0..50).for_each(|_| prefetch.ended());
        prefetch.advance(Mono(5_500), true);
        prefetch.advance(Mono(9_000), false);
        prefetch.measure(Mono(9_000));
        prefetch.answered(Micros(4_000));
        assert_eq!(prefetch.rows(1_000), 800, "100,000/s while handlers ran, for 8 ms");
    }

    #[test]
    fn a_rate_is_forgotten_while_nothing_runs() {
        let mut prefetch = Prefetch::new(Mono(0));
        (0..50).for_each(|_| prefetch.ended());
        prefetch.advance(Mono(1_000), true);
        prefetch.measure(Mono(1_000));
        prefetch.answered(Micros(4_000));
        assert_eq!(prefetch.rows(1_000), 400);
        prefetch.advance(Mono(601_000), false);
        prefetch.measure(Mono(601_000));
        assert_eq!(prefetch.rows(1_000), 0);
    }
}
