//! The targets of Tidegate as data. Each row names its scenario and series.

use crate::findings::{Findings, Unit};
use crate::scenarios::names as of;

/// A bound on the median of one series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    pub scenario: &'static str,
    pub series: &'static str,
    pub bound: Bound,
    pub unit: Unit,
    /// The name of the target in reports.
    pub label: &'static str,
}

/// The bound of a median.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// The state of a target after a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    Met {
        median: f64,
    },
    Missed {
        median: f64,
        /// The distance from the bound, in the unit of the target.
        by: f64,
    },
    /// The run has no samples of the series.
    NotMeasured,
}

const fn at_least(scenario: &'static str, series: &'static str, bound: f64, unit: Unit, label: &'static str) -> Target {
    Target { scenario, series, bound: Bound::AtLeast(bound), unit, label }
}

const fn at_most(scenario: &'static str, series: &'static str, bound: f64, unit: Unit, label: &'static str) -> Target {
    Target { scenario, series, bound: Bound::AtMost(bound), unit, label }
}

/// All targets, in the order of the report.
pub const TARGETS: &[Target] = &[
    at_least("drain-postgres", of::PART_OF_RAW, 0.6, Unit::Times, "drain, Postgres: part of the raw loop"),
    at_least("drain-postgres", of::PART_OF_LEASES, 0.75, Unit::Times, "drain, Postgres: part of the loop with leases"),
    at_least("drain-postgres", of::FEW_AGAINST_MANY, 0.9, Unit::Times, "drain, Postgres: 20,000 rows against 200,000"),
    at_least("peers", of::AGAINST_PEERS, 3.0, Unit::Times, "drain, Postgres, 200,000 jobs: against the best peer"),
    at_least("drain-sqlite", of::PART_OF_RAW, 0.75, Unit::Times, "drain, SQLite: part of the raw loop"),
    at_least("drain-sqlite", of::FEW_AGAINST_MANY, 0.9, Unit::Times, "drain, SQLite: 20,000 rows against 200,000"),
    at_least("daemons", of::TWO_AGAINST_ONE, 1.0, Unit::Times, "two daemons on one lane, against one"),
    at_least("daemons", of::FOUR_AGAINST_ONE, 0.9, Unit::Times, "four daemons on one lane, against one"),
    at_most("latency", of::SAME_P50, 1.0, Unit::Millis, "emit to start, idle, same daemon, Postgres, p50"),
    at_most("latency", of::SAME_P99, 5.0, Unit::Millis, "emit to start, idle, same daemon, Postgres, p99"),
    at_most("latency", of::ANOTHER_P50, 2.0, Unit::Millis, "emit to start, idle, another daemon, p50"),
    at_most("latency", of::ANOTHER_P99, 5.0, Unit::Millis, "emit to start, idle, another daemon, p99"),
    at_most("latency", of::SQLITE_P50, 1.0, Unit::Millis, "emit to start, idle, SQLite, p50"),
    at_most("latency", of::SQLITE_P99, 5.0, Unit::Millis, "emit to start, idle, SQLite, p99"),
    at_most("held-transaction", of::HELD_LOSS, 2.0, Unit::Percent, "throughput lost beside a held transaction"),
    at_most("held-transaction", of::HELD_P99, 1.5, Unit::Times, "p99 with a held transaction / without"),
    at_most("held-transaction", of::HELD_LAST, 1.2, Unit::Times, "p99 held, the last minute / the first"),
    at_most("backlog", of::BACKLOG_POSTGRES, 1.2, Unit::Times, "exchange, 5,000,000 waiting / 10,000, Postgres"),
    at_most("backlog", of::BACKLOG_SQLITE, 1.2, Unit::Times, "exchange, 5,000,000 waiting / 10,000, SQLite"),
    at_most("fairness", of::FAIRNESS_POSTGRES, 10.0, Unit::Millis, "p99 added by a busy trigger, Postgres"),
    at_most("fairness", of::FAIRNESS_SQLITE, 10.0, Unit::Millis, "p99 added by a busy trigger, SQLite"),
    at_most("fairness", of::FAIRNESS_POSTGRES_EIGHT, 10.0, Unit::Millis, "p99 added by 2 or 8 busy triggers, Postgres"),
    at_most("fairness", of::FAIRNESS_SQLITE_EIGHT, 10.0, Unit::Millis, "p99 added by 2 or 8 busy triggers, SQLite"),
    at_most("sync-http", of::SYNC_POSTGRES_P50, 2.0, Unit::Millis, "sync HTTP, one caller, p50, Postgres"),
    at_most("sync-http", of::SYNC_SQLITE_P50, 2.0, Unit::Millis, "sync HTTP, one caller, p50, SQLite"),
    at_least("sync-http", of::SYNC_POSTGRES_RATE, 4.0, Unit::Times, "sync HTTP, 64 callers / single commits, Postgres"),
    at_least("sync-http", of::SYNC_SQLITE_RATE, 4.0, Unit::Times, "sync HTTP, 64 callers / single commits, SQLite"),
    at_least("scripts", of::SCRIPTS_FRESH, 8_000.0, Unit::PerSecond, "scripts, a fresh isolate each, per core"),
    at_least("scripts", of::SCRIPTS_WARM, 40_000.0, Unit::PerSecond, "scripts, warm isolates, per core"),
    at_least("kv-put", of::KV_POSTGRES, 4.0, Unit::Times, "KV puts, 64 clients / single commits, Postgres"),
    at_least("kv-put", of::KV_SQLITE, 4.0, Unit::Times, "KV puts, 64 clients / single commits, SQLite"),
    at_most("wal", of::WAL_BACKLOG, 500.0, Unit::Bytes, "WAL per delivery, emit to done, a backlog"),
    at_most("wal", of::WAL_LIVE, 500.0, Unit::Bytes, "WAL per delivery, emit to done, a stream"),
    at_most("dead-tuples", of::DEAD_TUPLES, 1_000.0, Unit::Count, "dead tuples at 800 events/s, median"),
    at_most("memory", of::MEMORY_IDLE_POSTGRES, 40.0, Unit::Mb, "memory, idle, Postgres"),
    at_most("memory", of::MEMORY_IDLE_SQLITE, 40.0, Unit::Mb, "memory, idle, SQLite"),
    at_most("memory", of::MEMORY_DRAINING_POSTGRES, 100.0, Unit::Mb, "memory, draining a million, Postgres"),
    at_most("memory", of::MEMORY_DRAINING_SQLITE, 100.0, Unit::Mb, "memory, draining a million, SQLite"),
];

impl Bound {
    /// The bound as text, with its unit.
    #[must_use]
    pub fn show(self, unit: Unit) -> String {
        match self {
            Self::AtLeast(bound) => format!("≥ {}", unit.show(bound)),
            Self::AtMost(bound) => format!("≤ {}", unit.show(bound)),
        }
    }
}

impl Target {
    /// The state of the target after `findings`.
    #[must_use]
    pub fn judge(&self, findings: &[Findings]) -> Verdict {
        let scenario = findings.iter().find(|findings| findings.scenario == self.scenario);
        let Some(summary) = scenario.and_then(|findings| findings.summary(self.series)) else {
            return Verdict::NotMeasured;
        };
        let median = summary.median;
        let by = match self.bound {
            Bound::AtLeast(bound) => bound - median,
            Bound::AtMost(bound) => median - bound,
        };
        if by > 0.0 { Verdict::Missed { median, by } } else { Verdict::Met { median } }
    }

    /// The quality of `median`: 1 just meets the bound, more is better. At most 100, so that it can
    /// be drawn.
    #[must_use]
    pub fn score(&self, median: f64) -> f64 {
        let score = match self.bound {
            Bound::AtLeast(bound) => median / bound,
            Bound::AtMost(_) if median <= 0.0 => f64::INFINITY,
            Bound::AtMost(bound) => bound / median,
        };
        score.clamp(0.0, 100.0)
    }

    /// The verdict as text.
    #[must_use]
    pub fn describe(&self, verdict: Verdict) -> String {
        let bound = match self.bound {
            Bound::AtLeast(bound) | Bound::AtMost(bound) => bound,
        };
        match verdict {
            Verdict::Met { .. } => "met".to_owned(),
            // A difference of percentages is given in points: 5 % against a bound of 2 % would be
            // "150 %" otherwise.
            Verdict::Missed { by, .. } if self.unit == Unit::Percent => format!("missed by {by:.1} points"),
            Verdict::Missed { by, .. } => format!("missed by {} ({:.0} %)", self.unit.show(by), by / bound * 100.0),
            Verdict::NotMeasured => "not measured".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenarios::Scenario;

    fn judged(bound: Bound, unit: Unit, samples: &[f64]) -> (String, f64) {
        let target = Target { scenario: "s", series: "x", bound, unit, label: "" };
        let mut findings = Findings { scenario: "s".to_owned(), ..Findings::default() };
        samples.iter().for_each(|&sample| findings.add("x", unit, sample));
        let verdict = target.judge(&[findings]);
        let score = match verdict {
            Verdict::Met { median } | Verdict::Missed { median, .. } => target.score(median),
            Verdict::NotMeasured => 0.0,
        };
        (target.describe(verdict), score)
    }

    #[test]
    fn the_median_is_compared_with_the_bound() {
        let check = |bound, unit, samples: &[f64], expected: &str, score: f64| {
            assert_eq!(judged(bound, unit, samples), (expected.to_owned(), score), "{samples:?}");
        };
        check(Bound::AtLeast(0.75), Unit::Times, &[0.75], "met", 1.0);
        check(Bound::AtLeast(4.0), Unit::Times, &[1.0, 3.0, 9.0], "missed by 1.00 × (25 %)", 0.75);
        check(Bound::AtMost(2.0), Unit::Millis, &[1.0], "met", 2.0);
        check(Bound::AtMost(2.0), Unit::Millis, &[4.0], "missed by 2.00 ms (100 %)", 0.5);
        check(Bound::AtMost(2.0), Unit::Percent, &[5.0], "missed by 3.0 points", 0.4);
        check(Bound::AtMost(2.0), Unit::Percent, &[-1.0], "met", 100.0);
        check(Bound::AtMost(2.0), Unit::Percent, &[], "not measured", 0.0);
    }

    #[test]
    fn each_target_names_a_known_scenario() {
        for target in TARGETS {
            assert!(Scenario::named(target.scenario).is_some(), "{}", target.scenario);
        }
    }
}
