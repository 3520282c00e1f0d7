//! The distribution of jitter over its range. A single run cannot show it.

/// The number of jitters in each tenth of their range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Jitter([u64; 10]);

/// The least number of draws for a verdict.
const DRAWS_MIN: u64 = 1_000;
/// The 1 − 10⁻⁹ quantile of χ² with 9 degrees of freedom. A uniform distribution exceeds it once in
/// 10⁹ runs.
const CHI_SQUARED_MAX: f64 = 61.0;

impl Jitter {
    pub(crate) const fn of(tenths: [u64; 10]) -> Self {
        Self(tenths)
    }

    pub(crate) const fn tenths(&self) -> &[u64; 10] {
        &self.0
    }

    pub(crate) fn drawn(&mut self, tenth: usize) {
        self.0[tenth.min(9)] += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (here, there) in self.0.iter_mut().zip(other.0) {
            *here += there;
        }
    }

    /// The number of draws.
    #[must_use]
    pub fn draws(&self) -> u64 {
        self.0.iter().sum()
    }

    /// A message if the distribution is not uniform.
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
    fn only_an_uneven_distribution_fails() {
        assert_eq!(Jitter([100; 10]).objection(), None);
        assert_eq!(Jitter([0, 0, 0, 0, 0, 0, 0, 0, 0, 999]).objection(), None, "too few draws for a verdict");
        assert!(Jitter([0, 0, 0, 0, 0, 0, 0, 0, 0, 1_000]).objection().is_some());
        assert!(Jitter([200, 50, 50, 50, 50, 50, 50, 50, 50, 400]).objection().is_some());
    }
}
