//! Random streams, one per purpose. Another draw in one stream changes no other stream.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

pub(crate) struct Draw(ChaCha8Rng);

impl Draw {
    /// The stream of `seed` for one purpose.
    pub(crate) fn new(seed: u64, purpose: &str) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        for (at, byte) in purpose.bytes().take(24).enumerate() {
            key[8 + at] = byte;
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// The stream of `seed` for one execution of one delivery.
    pub(crate) fn for_execution(seed: u64, delivery: i64, lease: i64, nth: u64) -> Self {
        let mut key = [0xe; 32];
        for (part, word) in key.chunks_exact_mut(8).zip([seed, delivery as u64, lease as u64, nth]) {
            part.copy_from_slice(&word.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// A uniform draw from `low..=high`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.0.next_u64() % (high - low + 1)
    }

    /// True with a probability of `chance` thousandths.
    pub(crate) fn permille(&mut self, chance: u64) -> bool {
        self.between(0, 999) < chance
    }

    /// A uniform draw from a slice.
    pub(crate) fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.between(0, of.len() as u64 - 1) as usize]
    }
}
