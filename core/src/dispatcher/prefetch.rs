//! How many rows to claim ahead of free permits: what the handlers get done in two round trips, as measured. A fast
//! handler is never kept waiting for the store, and a slow one hoards nothing.

use crate::time::{Micros, Mono};

#[derive(Clone, Copy, Debug)]
pub(super) struct Prefetch {
    done: u64,
    since: Mono,
    per_second: u64,
    round_trip: Micros,
}

/// Shorter spans measure the clock rather than the handlers.
const SPAN_MIN: Micros = Micros(500);
/// How long a rate is remembered for the most part.
const MEMORY: Micros = Micros::from_millis(20);
/// With nothing done for this long, the rate of before says nothing any more.
const SPAN_MAX: Micros = Micros::from_millis(500);

impl Prefetch {
    pub(super) fn new(now: Mono) -> Self {
        Self { done: 0, since: now, per_second: 0, round_trip: Micros::ZERO }
    }

    /// An execution has ended.
    pub(super) fn ended(&mut self) {
        self.done = self.done.saturating_add(1);
    }

    /// Rows are about to be claimed: takes account of what has ended since it did last.
    pub(super) fn measure(&mut self, now: Mono) {
        let span = now.since(self.since);
        if span < SPAN_MIN {
            return;
        }
        let rate = self.done.saturating_mul(1_000_000) / span.0;
        // Weighted by the span, so that a burst within a millisecond does not pass for a second's rate.
        self.per_second =
            if span > SPAN_MAX { rate } else { (self.per_second * MEMORY.0 + rate * span.0) / (MEMORY.0 + span.0) };
        self.done = 0;
        self.since = now;
    }

    /// An exchange was answered.
    pub(super) fn answered(&mut self, took: Micros) {
        self.round_trip = Micros(self.round_trip.0.saturating_mul(3).saturating_add(took.0) / 4);
    }

    pub(super) fn rows(&self, batch_max: u32) -> u32 {
        let rows = self.per_second.saturating_mul(2).saturating_mul(self.round_trip.0) / 1_000_000;
        u32::try_from(rows).unwrap_or(u32::MAX).min(batch_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_handlers_are_claimed_ahead_for_slow_ones_are_not() {
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
        assert_eq!(prefetch.rows(1_000), 0, "one in a second");
    }
    #[test]
    fn a_burst_is_not_taken_for_a_rate() {
        let mut prefetch = Prefetch::new(Mono(0));
        for second_fifth in 1..=20_u64 {
            let at = second_fifth * 200_000;
            prefetch.measure(Mono(at));
            (0..50).for_each(|_| prefetch.ended());
            prefetch.measure(Mono(at + 1_000));
            prefetch.answered(Micros(2_000));
        }
        assert!(prefetch.rows(1_000) <= 10, "250/s, in bursts: {}", prefetch.rows(1_000));
    }
}
