//! The median and spread of a few samples, and percentiles of many.

use serde::{Deserialize, Serialize};

/// The median of some samples, and their spread.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Summary {
    /// The summary of `samples`. `None` if there are none: no measurement is not the same as zero.
    #[must_use]
    pub fn of(samples: &[f64]) -> Option<Self> {
        let sorted = sorted(samples);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let (lower, upper) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Some(Self { median: f64::midpoint(lower, upper), min, max })
    }
}

/// The smallest sample that at least `percent` of the samples do not exceed (nearest rank). `None`
/// if there are no samples.
#[must_use]
pub fn percentile(samples: &[f64], percent: f64) -> Option<f64> {
    let sorted = sorted(samples);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// Divides `figures` by `bases`, sample by sample. Both samples of a repeat were measured one right
/// after the other, so that a slow phase of the machine affects both.
#[must_use]
pub(crate) fn ratios(figures: &[f64], bases: &[f64]) -> Vec<f64> {
    figures.iter().zip(bases).map(|(figure, base)| figure / base).collect()
}

fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_has_the_median_and_the_spread() {
        let check = |samples: &[f64], expected: Option<(f64, f64, f64)>| {
            let found = Summary::of(samples).map(|summary| (summary.median, summary.min, summary.max));
            assert_eq!(found, expected, "{samples:?}");
        };
        check(&[], None);
        check(&[7.0], Some((7.0, 7.0, 7.0)));
        check(&[3.0, 1.0, 2.0], Some((2.0, 1.0, 3.0)));
        check(&[4.0, 1.0, 3.0, 2.0], Some((2.5, 1.0, 4.0)));
    }

    #[test]
    fn percentiles_are_samples() {
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        for (samples, percent, expected) in [
            (&hundred[..], 50.0, Some(50.0)),
            (&hundred[..], 99.0, Some(99.0)),
            (&hundred[..], 100.0, Some(100.0)),
            (&hundred[..], 0.0, Some(1.0)),
            (&[5.0, 6.0], 99.0, Some(6.0)),
            (&[5.0, 6.0], 50.0, Some(5.0)),
            (&[], 50.0, None),
        ] {
            assert_eq!(percentile(samples, percent), expected, "{percent} of {}", samples.len());
        }
    }

    #[test]
    fn a_ratio_divides_samples_of_the_same_repeat() {
        assert_eq!(ratios(&[1.0, 9.0], &[2.0, 3.0]), [0.5, 3.0]);
    }
}
