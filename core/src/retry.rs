//! The back-off: how long a delivery waits before its next attempt.
//!
//! The wait after failed attempt n, counted from 1, is computed in these steps:
//!
//! 1. exponential `base · 2^(n-1)`, linear `base · n`, or constant `base`,
//! 2. capped at `max`,
//! 3. multiplied by a factor drawn uniformly from `[1 - jitter, 1 + jitter]`,
//! 4. raised to the back-off that the handler requests if that is longer; the request counts as 7
//!    days if it is more.
//!
//! After the n-th loss the delivery waits `1 s · 2^(n-1)`, and at most 32 s. The stores repeat this
//! rule in SQL, because a store records losses.
//!
//! The unit is whole microseconds, and the arithmetic saturates.

use crate::names::DeliveryId;
use crate::outcome::Failure;
use crate::retry_policy::{Backoff, PPM, RetryPolicy};
use crate::rng::{Purpose, RngKey};
use crate::time::Micros;

impl RetryPolicy {
    /// The wait after failed attempt `attempt`, before jitter.
    #[must_use]
    pub fn backoff_before_jitter(&self, attempt: u32) -> Micros {
        let nth = u64::from(attempt.max(1));
        let ms = match self.backoff {
            Backoff::Exponential => match 1_u64.checked_shl(attempt.max(1) - 1) {
                Some(factor) => self.base_ms.saturating_mul(factor),
                None => u64::MAX,
            },
            Backoff::Linear => self.base_ms.saturating_mul(nth),
            Backoff::Constant => self.base_ms,
        };
        Micros::from_millis(ms.min(self.max_ms))
    }

    /// The shortest and the longest wait after jitter.
    #[must_use]
    pub fn jitter_range(&self, attempt: u32) -> (Micros, Micros) {
        let wait = self.backoff_before_jitter(attempt).0;
        let scaled = |ppm: u32| Micros((u128::from(wait) * u128::from(ppm) / u128::from(PPM)) as u64);
        (scaled(PPM - self.jitter_ppm), scaled(PPM + self.jitter_ppm))
    }

    /// The wait after failed attempt `attempt` of `delivery`. It depends on the arguments alone.
    #[must_use]
    pub fn delay(&self, key: RngKey, delivery: DeliveryId, attempt: u32, retry_after: Option<Micros>) -> Micros {
        let (low, high) = self.jitter_range(attempt);
        let wait = Micros(key.for_attempt(Purpose::RetryJitter, delivery, attempt, low.0, high.0));
        wait.max(retry_after.unwrap_or_default().min(Failure::RETRY_AFTER_MAX))
    }
}

/// The wait after the first loss of a delivery.
pub(crate) const LOSS_BACKOFF: Micros = Micros::from_secs(1);
/// The longest wait after a loss is the first one, doubled this many times.
const LOSS_DOUBLINGS_MAX: u32 = 5;

/// The wait after a loss, the `lost`-th one of its delivery. `first` is the wait after the first
/// loss.
#[must_use]
pub fn loss_backoff(first: Micros, lost: u32) -> Micros {
    first.saturating_mul(1 << lost.saturating_sub(1).min(LOSS_DOUBLINGS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry_policy::{BACKOFF_MS_MAX, RetryPolicySpec};
    use proptest::prelude::*;

    fn policy(backoff: Backoff, base_ms: u64, max_ms: u64, jitter: f64) -> RetryPolicy {
        let spec = RetryPolicySpec { backoff, base_ms, max_ms, jitter, ..RetryPolicySpec::default() };
        RetryPolicy::try_from(spec).unwrap()
    }

    fn waits_ms(policy: RetryPolicy) -> Vec<u64> {
        (1..=6).map(|n| policy.backoff_before_jitter(n).as_millis()).collect()
    }

    #[test]
    fn the_wait_after_a_loss_doubles_up_to_32_s() {
        assert_eq!(
            [1, 2, 3, 5, 6, 7, 100].map(|lost| loss_backoff(LOSS_BACKOFF, lost).0 / 1_000_000),
            [1, 2, 4, 16, 32, 32, 32]
        );
    }

    #[test]
    fn each_shape_grows_up_to_max() {
        assert_eq!(waits_ms(policy(Backoff::Exponential, 100, 1_000, 0.0)), [100, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(waits_ms(policy(Backoff::Linear, 100, 450, 0.0)), [100, 200, 300, 400, 450, 450]);
        assert_eq!(waits_ms(policy(Backoff::Constant, 100, 1_000, 0.0)), [100; 6]);
    }

    #[test]
    fn extreme_policies_saturate_at_max() {
        for backoff in [Backoff::Exponential, Backoff::Linear] {
            let policy = policy(backoff, BACKOFF_MS_MAX, BACKOFF_MS_MAX, 1.0);
            for attempt in [1, 63, 64, 65, 100, u32::MAX] {
                assert_eq!(policy.backoff_before_jitter(attempt), Micros::from_millis(BACKOFF_MS_MAX));
            }
            assert_eq!(policy.jitter_range(u32::MAX).1, Micros::from_millis(2 * BACKOFF_MS_MAX));
        }
        let slow = policy(Backoff::Exponential, 1, BACKOFF_MS_MAX, 0.0);
        assert_eq!(slow.backoff_before_jitter(0), slow.backoff_before_jitter(1), "attempt 0 is treated as 1");
    }

    #[test]
    fn retry_after_raises_the_wait_and_never_lowers_it() {
        let policy = policy(Backoff::Constant, 1_000, 1_000, 0.0);
        let delay = |after| policy.delay(RngKey(1), DeliveryId(1), 1, after);
        assert_eq!(delay(None), Micros::from_secs(1));
        assert_eq!(delay(Some(Micros(1))), Micros::from_secs(1));
        assert_eq!(delay(Some(Micros::from_secs(9))), Micros::from_secs(9));
        let week = Micros::from_secs(7 * 24 * 3_600);
        assert_eq!(delay(Some(week)), week);
        assert_eq!(delay(Some(Micros(week.0 + 1))), week);
        assert_eq!(delay(Some(Micros(u64::MAX))), week);
    }

    /// Puts 100,000 draws in 20 bins. For 99.9 % of all keys, chi-square with 19 degrees of freedom
    /// is below 43.8. The key of the test is fixed.
    #[test]
    fn jitter_is_uniform_over_its_whole_range() {
        let policy = policy(Backoff::Constant, 1_000, 1_000, 0.5);
        let (low, high) = policy.jitter_range(1);
        assert_eq!((low, high), (Micros(500_000), Micros(1_500_000)));
        let mut bins = [0_u32; 20];
        for n in 0..100_000 {
            let delay = policy.delay(RngKey(42), DeliveryId(n), 1, None);
            bins[((delay.0 - low.0) * 20 / (high.0 - low.0 + 1)) as usize] += 1;
        }
        let chi_square: f64 = bins.iter().map(|&count| (f64::from(count) - 5_000.0).powi(2) / 5_000.0).sum();
        assert!(chi_square < 43.8, "chi-square {chi_square}, bins {bins:?}");
    }

    prop_compose! {
        fn any_policy()(
            backoff in prop_oneof![Just(Backoff::Exponential), Just(Backoff::Linear), Just(Backoff::Constant)],
            base_ms in 1..=BACKOFF_MS_MAX, extra in 0..=BACKOFF_MS_MAX, jitter in 0.0..=1.0_f64,
        ) -> RetryPolicy {
            policy(backoff, base_ms, base_ms.saturating_add(extra).min(BACKOFF_MS_MAX), jitter)
        }
    }

    proptest! {
        #[test]
        fn a_delay_is_within_the_jitter_range_and_repeatable(
            policy in any_policy(), key: u64, delivery: i64, attempt in 1..=100_u32,
        ) {
            let delay = policy.delay(RngKey(key), DeliveryId(delivery), attempt, None);
            let (low, high) = policy.jitter_range(attempt);
            prop_assert!(low <= delay && delay <= high);
            prop_assert!(high <= Micros::from_millis(2 * policy.max_ms));
            prop_assert_eq!(delay, policy.delay(RngKey(key), DeliveryId(delivery), attempt, None));
        }

        #[test]
        fn a_later_attempt_never_waits_less_before_jitter(policy in any_policy(), attempt in 1..=99_u32) {
            prop_assert!(policy.backoff_before_jitter(attempt) <= policy.backoff_before_jitter(attempt + 1));
        }

        #[test]
        fn a_policy_round_trips_through_its_spec(policy in any_policy()) {
            prop_assert_eq!(RetryPolicy::try_from(RetryPolicySpec::from(policy)), Ok(policy));
        }
    }
}
