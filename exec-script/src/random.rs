//! Numbers that look random, for scripts.

/// Xorshift64*, as QuickJS has it.
#[derive(Clone, Copy)]
pub(crate) struct Random(u64);

impl Random {
    /// Begins somewhere that the system chose.
    pub(crate) fn new() -> Self {
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        // The bits that are the same in all UUIDs are random in the other half. From 0 it would never leave.
        Self((high ^ low.rotate_left(32)).max(1))
    }

    /// From 0 to below 1.
    pub(crate) fn draw(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        // As many bits as the fraction of a double has.
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lie_from_0_to_below_1_and_everywhere() {
        let mut random = Random::new();
        let drawn: Vec<f64> = (0..10_000).map(|_| random.draw()).collect();
        assert!(drawn.iter().all(|n| (0.0..1.0).contains(n)));
        for tenth in 0..10 {
            let within = drawn.iter().filter(|n| (**n * 10.0) as usize == tenth).count();
            assert!((800..1_200).contains(&within), "{within} of 10,000 in tenth {tenth}");
        }
    }

    #[test]
    fn each_begins_elsewhere() {
        assert_ne!(Random::new().draw().to_bits(), Random::new().draw().to_bits());
    }
}
