//! The number of rows to claim ahead of free permits: the number that the handlers finish in two
//! round trips. Both the rate and the round trip are measured. So fast handlers never wait for the
//! store, and slow handlers hold no rows that another daemon could run.

use crate::time::{Micros, Mono};

#[derive(Clone, Copy, Debug)]
pub(super) struct Prefetch {
    /// Executions that ended since `since`.
    ended: u64,
    since: Mono,
    ended_per_second: u64,
    round_trip: Micros,
}

/// A shorter span would measure the resolution of the clock and not the handlers.
const SPAN_MIN: Micros = Micros(500);
/// A span of this length counts as much as the rate before it.
const EQUAL_WEIGHT_SPAN: Micros = Micros::from_millis(20);
/// After a longer span the rate before it does not count.
const SPAN_MAX: Micros = Micros::from_millis(500);

impl Prefetch {
    pub(super) fn new(now: Mono) -> Self {
        Self { ended: 0, since: now, ended_per_second: 0, round_trip: Micros::ZERO }
    }

    /// Counts an execution that ended.
    pub(super) fn ended(&mut self) {
        self.ended = self.ended.saturating_add(1);
    }

    /// Updates the rate with the executions that ended since the last update. Call it before a
    /// claim.
    pub(super) fn measure(&mut self, now: Mono) {
        let span = now.since(self.since);
        if span < SPAN_MIN {
            return;
        }
        let rate = self.ended.saturating_mul(1_000_000) / span.0;
        // The weight is the span. Otherwise a burst within a millisecond would count as the rate of
        // a second.
        self.ended_per_second = if span > SPAN_MAX {
            rate
        } else {
            (self.ended_per_second * EQUAL_WEIGHT_SPAN.0 + rate * span.0) / (EQUAL_WEIGHT_SPAN.0 + span.0)
        };
        self.ended = 0;
        self.since = now;
    }

    /// Updates the round trip with the duration of an exchange.
    pub(super) fn answered(&mut self, took: Micros) {
        self.round_trip = Micros(self.round_trip.0.saturating_mul(3).saturating_add(took.0) / 4);
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
            prefetch.measure(Mono(round * 2_000));
            prefetch.answered(Micros(2_000));
        }
        assert!((150..=200).contains(&prefetch.rows(1_000)), "50,000/s for 4 ms: {}", prefetch.rows(1_000));
        assert_eq!(prefetch.rows(10), 10);
        prefetch.ended();
        prefetch.measure(Mono(1_120_000));
        assert_eq!(prefetch.rows(1_000), 0, "one execution in a second");
    }

    #[test]
    fn a_burst_does_not_count_as_a_rate() {
        let mut prefetch = Prefetch::new(Mono(0));
        for burst in 1..=20_u64 {
            let at = burst * 200_000;
            prefetch.measure(Mono(at));
            (0..50).for_each(|_| prefetch.ended());
            prefetch.measure(Mono(at + 1_000));
            prefetch.answered(Micros(2_000));
        }
        assert!(prefetch.rows(1_000) <= 10, "250/s, in bursts: {}", prefetch.rows(1_000));
    }
}
