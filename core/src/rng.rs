//! Random values from keyed streams. Each value depends on its key alone, so a new draw changes no
//! other draw, and a replay draws the same values.

use crate::names::DeliveryId;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

/// The part of the key that all streams of a dispatcher share. It is an argument of the boot, so a
/// replay can use the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RngKey(pub u64);

/// The purpose of a draw. Streams of different purposes are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// The jitter of a retry's back-off.
    RetryJitter = 1,
    /// The jitter of a deferral's back-off.
    DeferJitter = 2,
    /// The jitter of the back-off after a store failure.
    StoreBackoff = 3,
}

impl RngKey {
    /// One value, uniform in `low..=high`. `purpose`, `subject` and `nth` select the draw.
    #[must_use]
    pub fn uniform(self, purpose: Purpose, subject: i64, nth: u64, low: u64, high: u64) -> u64 {
        let mut seed = [0; 32];
        for (part, word) in seed.chunks_exact_mut(8).zip([self.0, purpose as u64, subject as u64, nth]) {
            part.copy_from_slice(&word.to_le_bytes());
        }
        let draw = ChaCha8Rng::from_seed(seed).next_u64();
        let span = u128::from(high.saturating_sub(low)) + 1;
        // Multiply and shift maps the draw to the range with a bias below span / 2^64.
        low + ((u128::from(draw) * span) >> 64) as u64
    }

    /// One value, uniform in `low..=high`, for one attempt of one delivery.
    #[must_use]
    pub fn for_attempt(self, purpose: Purpose, delivery: DeliveryId, attempt: u32, low: u64, high: u64) -> u64 {
        self.uniform(purpose, delivery.0, u64::from(attempt), low, high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_depends_on_each_part_of_its_key() {
        let draw = |key, purpose, subject, nth| RngKey(key).uniform(purpose, subject, nth, 0, u64::MAX - 1);
        let base = draw(1, Purpose::RetryJitter, 2, 3);
        assert_eq!(base, draw(1, Purpose::RetryJitter, 2, 3));
        for other in [
            draw(9, Purpose::RetryJitter, 2, 3),
            draw(1, Purpose::DeferJitter, 2, 3),
            draw(1, Purpose::RetryJitter, 9, 3),
            draw(1, Purpose::RetryJitter, 2, 9),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn draws_reach_both_ends_of_the_range_and_stay_within_it() {
        let draws: Vec<u64> = (0..1000).map(|n| RngKey(7).uniform(Purpose::RetryJitter, 0, n, 5, 8)).collect();
        for value in 5..=8 {
            assert!(draws.contains(&value), "{value} was never drawn");
        }
        assert!(draws.iter().all(|draw| (5..=8).contains(draw)));
        assert_eq!(RngKey(7).uniform(Purpose::RetryJitter, 0, 0, 5, 5), 5);
    }
}
