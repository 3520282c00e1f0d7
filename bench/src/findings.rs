//! The measurements of a scenario as plain data. All reports are made from this data alone.

use crate::stats::{Summary, ratios};
use serde::{Deserialize, Serialize};

/// The unit of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A number of things.
    Count,
    PerSecond,
    Millis,
    Bytes,
    /// Megabytes of 1,000,000 bytes.
    Mb,
    /// A ratio of two figures.
    Times,
    Percent,
}

/// The samples of one figure, one for each repeat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// The name, unique in its scenario.
    pub name: String,
    pub unit: Unit,
    /// The samples in the order of the repeats.
    pub samples: Vec<f64>,
}

/// A rate and its limit, drawn next to each other. Both are names of series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// The rate of Tidegate.
    pub figure: String,
    /// The rate of plain SQL.
    pub limit: String,
}

/// The results of one scenario.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    pub scenario: String,
    pub series: Vec<Series>,
    pub pairs: Vec<Pair>,
    /// Conditions that a reader must know to understand the figures.
    pub notes: Vec<String>,
    /// The duration of the scenario with its preparation.
    pub took_s: f64,
}

impl Findings {
    /// Adds a sample to the series `name`. The first sample creates the series.
    pub fn add(&mut self, name: &str, unit: Unit, sample: f64) {
        match self.series.iter_mut().find(|series| series.name == name) {
            Some(series) => series.samples.push(sample),
            None => self.series.push(Series { name: name.to_owned(), unit, samples: vec![sample] }),
        }
    }

    /// The samples of a series. Empty if it was not measured.
    #[must_use]
    pub fn samples(&self, name: &str) -> &[f64] {
        self.series.iter().find(|series| series.name == name).map_or(&[], |series| &series.samples)
    }

    /// The median and the spread of a series.
    #[must_use]
    pub fn summary(&self, name: &str) -> Option<Summary> {
        Summary::of(self.samples(name))
    }

    /// Adds the series `name`: each sample of `figure` divided by the sample of `base` in the same
    /// repeat.
    pub fn add_ratio(&mut self, name: &str, figure: &str, base: &str) {
        let samples = ratios(self.samples(figure), self.samples(base));
        self.series.push(Series { name: name.to_owned(), unit: Unit::Times, samples });
    }

    /// Requests a drawing of two series next to each other.
    pub fn pair(&mut self, figure: &str, limit: &str) {
        self.pairs.push(Pair { figure: figure.to_owned(), limit: limit.to_owned() });
    }

    /// Adds a note for the reader, unless the same note is there already.
    pub fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

impl Unit {
    /// The smallest and the largest sample as text. A single sample has no spread.
    #[must_use]
    pub fn spread(self, summary: &Summary) -> String {
        if summary.min == summary.max {
            return "–".to_owned();
        }
        format!("{} – {}", self.show(summary.min), self.show(summary.max))
    }

    /// A number with its unit as text.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Count => thousands(value),
            Self::PerSecond => format!("{}/s", thousands(value)),
            Self::Millis if value >= 100.0 => format!("{value:.0} ms"),
            Self::Millis if value >= 10.0 => format!("{value:.1} ms"),
            Self::Millis => format!("{value:.2} ms"),
            Self::Bytes => format!("{} B", thousands(value)),
            Self::Mb => format!("{value:.1} MB"),
            Self::Times => format!("{value:.2} ×"),
            Self::Percent => format!("{value:.1} %"),
        }
    }
}

/// A number such as `12,345`. Numbers below 10 have one decimal.
fn thousands(value: f64) -> String {
    if value.abs() < 10.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_with_their_unit() {
        for (unit, value, expected) in [
            (Unit::Count, 1_234.0, "1,234"),
            (Unit::PerSecond, 123_456.4, "123,456/s"),
            (Unit::PerSecond, 999.6, "1,000/s"),
            (Unit::PerSecond, 3.25, "3.2/s"),
            (Unit::Millis, 0.261, "0.26 ms"),
            (Unit::Millis, 12.34, "12.3 ms"),
            (Unit::Millis, 1234.5, "1234 ms"),
            (Unit::Bytes, 698.0, "698 B"),
            (Unit::Times, 0.756, "0.76 ×"),
            (Unit::Percent, -1.5, "-1.5 %"),
        ] {
            assert_eq!(unit.show(value), expected);
        }
    }

    #[test]
    fn a_ratio_divides_the_samples_of_each_repeat() {
        let mut findings = Findings::default();
        for (figure, limit) in [(50.0, 100.0), (90.0, 120.0)] {
            findings.add("drain", Unit::PerSecond, figure);
            findings.add("raw", Unit::PerSecond, limit);
        }
        findings.add_ratio("part", "drain", "raw");
        assert_eq!(findings.samples("part"), [0.5, 0.75]);
        assert_eq!(findings.samples("nothing"), [0.0; 0]);
        assert_eq!(findings.summary("raw").map(|summary| summary.median), Some(110.0));
    }
}
