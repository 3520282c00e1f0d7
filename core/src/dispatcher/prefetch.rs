//! The number of rows to claim ahead of free permits: the number that the handlers finish in two
//! round trips. Both the rate and the round trip are measured. So fast handlers never wait for the
//! store, and slow handlers hold no rows that another daemon could run.
//!
//! The rate is that of the busy time, in which handlers run. So the first few rows of a backlog are
//! enough to know it, although the handlers have mostly waited for the store until then.
//!
//! An execution is busy from its permit to its end, with its start wait. A row needs a permit, and
//! a permit becomes free when an execution ends. If executions wait for threads, permits become
//! free as slowly as threads do, and this rate says so.

use crate::time::{Micros, Mono};

#[derive(Clone, Copy, Debug)]
pub(super) struct Prefetch {
    /// Executions that ended since `since`.
    ended: u64,
    /// The busy time since `since`.
    busy: Micros,
    since: Mono,
    /// The time up to which `busy` is counted.
    counted_to: Mono,
    recent: Recent,
    round_trip: Micros,
}

/// Executions that ended recently, and their busy time. Both shrink alike as busy time passes.
#[derive(Clone, Copy, Debug, Default)]
struct Recent {
    /// Thousandths of executions, so that the count shrinks without a large error of rounding.
    ended_thousandths: u64,
    busy_us: u64,
}

/// A shorter busy time counts as this long. Otherwise a single quick execution, or the resolution
/// of the clock, would count as a high rate.
const BUSY_MIN_US: u64 = 1_000;
/// A busy time of this length counts as much as all of the busy time before it.
const EQUAL_WEIGHT_US: u64 = 20_000;
/// The most rows to claim ahead for each recent execution. Otherwise a single execution and one
/// slow round trip would make a claim of thousands of rows.
const ROWS_PER_EXECUTION: u64 = 16;
/// After a longer span without a measurement the rate before it does not count.
const SPAN_MAX: Micros = Micros::from_millis(500);

impl Recent {
    fn add(&mut self, ended: u64, busy: Micros) {
        let shrink = |total: u64| total.saturating_mul(EQUAL_WEIGHT_US) / EQUAL_WEIGHT_US.saturating_add(busy.0);
        self.ended_thousandths = shrink(self.ended_thousandths).saturating_add(ended.saturating_mul(1_000));
        self.busy_us = shrink(self.busy_us).saturating_add(busy.0);
    }

    /// The executions that end in `span` if handlers run all the time, as far as the recent
    /// executions can show.
    fn ended_in(self, span: Micros) -> u64 {
        let ended_thousandths = self.ended_thousandths.saturating_mul(span.0) / self.busy_us.max(BUSY_MIN_US);
        ended_thousandths.min(self.ended_thousandths.saturating_mul(ROWS_PER_EXECUTION)) / 1_000
    }
}

impl Prefetch {
    pub(super) fn new(now: Mono) -> Self {
        Self {
            ended: 0,
            busy: Micros::ZERO,
            since: now,
            counted_to: now,
            recent: Recent::default(),
            round_trip: Micros::ZERO,
        }
    }

    /// Time has passed. `is_busy` tells whether async executions ran until `now`.
    pub(super) fn advance(&mut self, now: Mono, is_busy: bool) {
        if is_busy {
            self.busy = Micros(self.busy.0.saturating_add(now.since(self.counted_to).0));
        }
        self.counted_to = now;
    }

    /// Counts an execution that ended by itself.
    pub(super) fn ended(&mut self) {
        self.ended = self.ended.saturating_add(1);
    }

    /// Updates the rate with the executions that ended since the last update. Call it before a
    /// claim.
    pub(super) fn measure(&mut self, now: Mono) {
        if now.since(self.since) > SPAN_MAX {
            self.recent = Recent::default();
        }
        self.recent.add(std::mem::take(&mut self.ended), std::mem::take(&mut self.busy));
        self.since = now;
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
        let rows = self.recent.ended_in(self.round_trip.saturating_mul(2));
        u32::try_from(rows).unwrap_or(u32::MAX).min(rows_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A busy time of `busy_us` in which `ended` executions end, and then an exchange of 2 ms.
    fn work(prefetch: &mut Prefetch, now: &mut Mono, ended: u64, busy_us: u64) {
        *now = now.plus(Micros(busy_us));
        prefetch.advance(*now, true);
        (0..ended).for_each(|_| prefetch.ended());
        prefetch.measure(*now);
        *now = now.plus(Micros(2_000));
        prefetch.advance(*now, false);
        prefetch.answered(Micros(2_000));
    }

    #[test]
    fn rows_are_claimed_ahead_for_fast_handlers_only() {
        let (mut prefetch, mut now) = (Prefetch::new(Mono(0)), Mono(0));
        assert_eq!(prefetch.rows(1_000), 0);
        (0..60).for_each(|_| work(&mut prefetch, &mut now, 100, 2_000));
        assert!((199..=200).contains(&prefetch.rows(1_000)), "50,000/s for 4 ms: {}", prefetch.rows(1_000));
        assert_eq!(prefetch.rows(10), 10);
        work(&mut prefetch, &mut now, 1, 600_000);
        assert_eq!(prefetch.rows(1_000), 0, "one execution in 600 ms");
    }

    #[test]
    fn the_rate_is_known_after_the_first_rows() {
        let (mut prefetch, mut now) = (Prefetch::new(Mono(0)), Mono(400_000));
        prefetch.advance(now, false);
        work(&mut prefetch, &mut now, 50, 1_000);
        assert_eq!(prefetch.rows(1_000), 200, "50,000/s for 4 ms");
    }

    #[test]
    fn one_quick_execution_is_not_a_high_rate() {
        let (mut prefetch, mut now) = (Prefetch::new(Mono(0)), Mono(0));
        work(&mut prefetch, &mut now, 1, 1);
        assert_eq!(prefetch.rows(1_000), 4, "1,000/s for 4 ms");
    }

    #[test]
    fn one_execution_and_a_slow_round_trip_claim_few_rows() {
        let (mut prefetch, mut now) = (Prefetch::new(Mono(0)), Mono(0));
        work(&mut prefetch, &mut now, 1, 1_000);
        prefetch.answered(Micros::from_secs(1));
        assert_eq!(prefetch.rows(1_000), 16);
    }

    #[test]
    fn slow_executions_that_end_at_once_are_not_a_high_rate() {
        let (mut prefetch, mut now) = (Prefetch::new(Mono(0)), Mono(0));
        work(&mut prefetch, &mut now, 0, 19_000);
        work(&mut prefetch, &mut now, 8, 1_000);
        assert_eq!(prefetch.rows(1_000), 1, "400/s for 4 ms");
    }

    #[test]
    fn a_rate_is_forgotten_while_nothing_is_measured() {
        let (mut prefetch, mut now) = (Prefetch::new(Mono(0)), Mono(0));
        work(&mut prefetch, &mut now, 50, 1_000);
        now = now.plus(Micros::from_millis(600));
        prefetch.advance(now, false);
        prefetch.measure(now);
        assert_eq!(prefetch.rows(1_000), 0);
    }
}
