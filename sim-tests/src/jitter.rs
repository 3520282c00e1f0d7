//! Whether jitter is spread evenly over its range, which no single run can tell.

/// Where in its range each jitter fell, in tenths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Jitter([u64; 10]);

/// Fewer draws say nothing.
const DRAWS_MIN: u64 = 1_000;
/// The 1 − 10⁻⁹ quantile of χ² with 9 degrees of freedom: a fair spread passes it once in a thousand million times.
const CHI_SQUARED_MAX: f64 = 61.0;

impl Jitter {
    pub(crate) fn drawn(&mut self, tenth: usize) {
        self.0[tenth.min(9)] += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (here, there) in self.0.iter_mut().zip(other.0) {
            *here += there;
        }
    }

    /// How many there were.
    #[must_use]
    pub fn draws(&self) -> u64 {
        self.0.iter().sum()
    }

    /// What is wrong with the spread, if something is.
    #[must_use]
    pub fn objection(&self) -> Option<String> {
        let draws = self.draws();
        let expected = draws as f64 / 10.0;
        let off = |count: &u64| (*count as f64 - expected).powi(2) / expected;
        let chi_squared: f64 = self.0.iter().map(off).sum();
        let is_uneven = draws >= DRAWS_MIN && chi_squared > CHI_SQUARED_MAX;
        is_uneven.then(|| format!("{draws} jitters fell unevenly over the tenths of their range: {:?}", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_spread_passes_and_an_uneven_one_does_not() {
        assert_eq!(Jitter([100; 10]).objection(), None);
        assert_eq!(Jitter([0, 0, 0, 0, 0, 0, 0, 0, 0, 999]).objection(), None, "too few to tell");
        assert!(Jitter([0, 0, 0, 0, 0, 0, 0, 0, 0, 1_000]).objection().is_some());
        assert!(Jitter([200, 50, 50, 50, 50, 50, 50, 50, 50, 400]).objection().is_some());
    }
}
