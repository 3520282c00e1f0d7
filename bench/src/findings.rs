//! What a scenario measured, as plain data: what is printed, drawn and written is made from it alone.

use crate::stats::{Summary, ratios};
use serde::{Deserialize, Serialize};

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// How often in a second.
    PerSecond,
    /// Milliseconds.
    Millis,
    /// Bytes.
    Bytes,
    /// Megabytes: a million bytes each.
    Mb,
    /// A multiple of something else.
    Times,
    /// A part of a hundred.
    Percent,
}

/// One thing that was measured, once per repeat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Unique in its scenario.
    pub name: String,
    /// What its numbers count.
    pub unit: Unit,
    /// In the order in which they were taken.
    pub samples: Vec<f64>,
}

/// A rate and the limit that it was measured beside, to be drawn side by side. Both are names of series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// What Tidegate does.
    pub figure: String,
    /// What plain SQL does.
    pub limit: String,
}

/// All that one scenario found out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// Its name.
    pub scenario: String,
    /// What it measured.
    pub series: Vec<Series>,
    /// What to draw side by side.
    pub pairs: Vec<Pair>,
    /// What a reader must know in order not to be misled.
    pub notes: Vec<String>,
    /// How long it took, preparations and all.
    pub took_s: f64,
}

impl Findings {
    /// Adds a sample to the series `name`, which begins with its first one.
    pub fn add(&mut self, name: &str, unit: Unit, sample: f64) {
        match self.series.iter_mut().find(|series| series.name == name) {
            Some(series) => series.samples.push(sample),
            None => self.series.push(Series { name: name.to_owned(), unit, samples: vec![sample] }),
        }
    }

    /// The samples of a series; none if it was not measured.
    #[must_use]
    pub fn samples(&self, name: &str) -> &[f64] {
        self.series.iter().find(|series| series.name == name).map_or(&[], |series| &series.samples)
    }

    /// The middle and the spread of a series.
    #[must_use]
    pub fn summary(&self, name: &str) -> Option<Summary> {
        Summary::of(self.samples(name))
    }

    /// Adds the series `name`: how much of `to` each sample of `of` is.
    pub fn add_ratio(&mut self, name: &str, of: &str, to: &str) {
        let samples = ratios(self.samples(of), self.samples(to));
        self.series.push(Series { name: name.to_owned(), unit: Unit::Times, samples });
    }

    /// Has two series drawn side by side.
    pub fn pair(&mut self, figure: &str, limit: &str) {
        self.pairs.push(Pair { figure: figure.to_owned(), limit: limit.to_owned() });
    }

    /// Says what a reader must know; once, however often it is said.
    pub fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

impl Unit {
    /// The least and the greatest sample, for people; of one sample there is no spread to show.
    #[must_use]
    pub fn spread(self, summary: &Summary) -> String {
        if summary.min == summary.max {
            return "–".to_owned();
        }
        format!("{} – {}", self.show(summary.min), self.show(summary.max))
    }

    /// A number with its unit, for people.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        match self {
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

/// `12,345`: three digits at a time, and one decimal where there would be less than two digits.
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
    fn a_series_grows_and_a_ratio_goes_by_repeats() {
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
