//! The random numbers of `Math.random`.

/// Xorshift64*, the generator that QuickJS uses.
#[derive(Clone, Copy)]
pub(crate) struct Random(u64);

impl Random {
    /// A generator with a seed from the system's randomness.
    pub(crate) fn new() -> Self {
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        // The fixed bits of a UUID are random bits in the other half. A seed of 0 would produce
        // only zeros.
        Self((high ^ low.rotate_left(32)).max(1))
    }

    /// The next number, from 0 to below 1.
    pub(crate) fn next_number(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        // 53 bits: the length of a double's fraction.
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spread_evenly_from_0_to_below_1() {
        let mut random = Random::new();
        let drawn: Vec<f64> = (0..10_000).map(|_| random.next_number()).collect();
        assert!(drawn.iter().all(|n| (0.0..1.0).contains(n)));
        for tenth in 0..10 {
            let within = drawn.iter().filter(|n| (**n * 10.0) as usize == tenth).count();
            assert!((800..1_200).contains(&within), "{within} of 10,000 in tenth {tenth}");
        }
    }

    #[test]
    fn two_generators_have_different_seeds() {
        assert_ne!(Random::new().next_number().to_bits(), Random::new().next_number().to_bits());
    }
}
