//! The results of the peers as a table and as bars of a chart.

use super::result::{Outcome, PeerResult};
use std::cmp::Ordering;
use std::fmt::Write as _;

/// One bar of a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// The name of the peer and its settings.
    pub label: String,
    pub per_second: f64,
}

/// A Markdown table with a row for each result, also for failures.
#[must_use]
pub fn markdown(results: &[PeerResult]) -> String {
    let mut table = "| queue | version | settings | jobs drained | per second | idle latency p50 / p99 |\n".to_owned();
    table.push_str("|---|---|---|--:|--:|--:|\n");
    for result in results {
        let version = [result.version.as_deref().unwrap_or("?"), result.runtime.as_deref().unwrap_or_default()];
        let version = version.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
        let (name, settings) = (cell(&result.peer), cell(&result.settings));
        let figures = match &result.outcome {
            Outcome::Measured(measured) => {
                let latency = measured.latency_ms.map_or_else(
                    || "polls".to_owned(),
                    |latency| format!("{} / {} ms", short(latency.p50), short(latency.p99)),
                );
                format!("{} | {} | {latency}", thousands(measured.jobs as f64), thousands(measured.per_second))
            }
            Outcome::Failed { reason } => format!("– | – | failed: {}", cell(reason)),
        };
        writeln!(table, "| {name} | {} | {settings} | {figures} |", cell(&version)).expect("a string takes it");
    }
    table
}

/// The fastest setting of each peer, the fastest peer first. A peer without figures has no bar; its
/// row in the table has the reason.
#[must_use]
pub fn bars(results: &[PeerResult]) -> Vec<Bar> {
    let mut fastest: Vec<(&PeerResult, f64)> = Vec::new();
    for (result, rate) in rates(results) {
        match fastest.iter_mut().find(|(known, _)| known.peer == result.peer) {
            Some(known) if known.1 < rate => *known = (result, rate),
            Some(_) => {}
            None => fastest.push((result, rate)),
        }
    }
    fastest.sort_by(|(_, one), (_, other)| by_rate(*other, *one));
    let bar = |(result, per_second): (&PeerResult, f64)| Bar {
        label: format!("{}: {}", result.peer, result.settings),
        per_second,
    };
    fastest.into_iter().map(bar).collect()
}

/// The fastest result of all peers, for the comparison with Tidegate.
#[must_use]
pub fn best(results: &[PeerResult]) -> Option<&PeerResult> {
    rates(results).max_by(|(_, one), (_, other)| by_rate(*one, *other)).map(|(result, _)| result)
}

fn rates(results: &[PeerResult]) -> impl Iterator<Item = (&PeerResult, f64)> {
    results.iter().filter_map(|result| result.figures().map(|figures| (result, figures.per_second)))
}

fn by_rate(one: f64, other: f64) -> Ordering {
    one.total_cmp(&other)
}

/// The text with all characters escaped that would end a cell or a row.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A number with one decimal below 10, otherwise without decimals.
fn short(number: f64) -> String {
    match number {
        _ if number < 10.0 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

fn thousands(number: f64) -> String {
    if number < 10.0 && number.fract() != 0.0 {
        return format!("{number:.1}");
    }
    let digits = format!("{number:.0}");
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or_default()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::result::{Latency, PeerFigures};

    fn measured(peer: &str, settings: &str, per_second: f64, latency_ms: Option<(f64, f64)>) -> PeerResult {
        let latency_ms = latency_ms.map(|(p50, p99)| Latency { p50, p99 });
        let jobs = 20_000;
        PeerResult {
            peer: peer.to_owned(),
            version: Some("1.0".to_owned()),
            runtime: (peer == "swift").then(|| "node 22".to_owned()),
            settings: settings.to_owned(),
            outcome: Outcome::Measured(PeerFigures { jobs, seconds: jobs as f64 / per_second, per_second, latency_ms }),
        }
    }

    fn results() -> Vec<PeerResult> {
        let failed = PeerResult {
            peer: "lame".to_owned(),
            version: None,
            runtime: None,
            settings: "defaults".to_owned(),
            outcome: Outcome::Failed { reason: "npm | pip\nare missing".to_owned() },
        };
        vec![
            measured("swift", "defaults", 0.52, None),
            measured("swift", "batch 9", 12_345.6, Some((3.1234, 12.7))),
            failed,
            measured("heron", "defaults", 64_000.0, Some((0.2, 5.0))),
        ]
    }

    #[test]
    fn the_table_has_a_row_for_each_result_and_failure() {
        let expected = "\
| queue | version | settings | jobs drained | per second | idle latency p50 / p99 |
|---|---|---|--:|--:|--:|
| swift | 1.0, node 22 | defaults | 20,000 | 0.5 | polls |
| swift | 1.0, node 22 | batch 9 | 20,000 | 12,346 | 3.1 / 13 ms |
| lame | ? | defaults | – | – | failed: npm \\| pip are missing |
| heron | 1.0 | defaults | 20,000 | 64,000 | 0.2 / 5.0 ms |
";
        assert_eq!(markdown(&results()), expected);
    }

    #[test]
    fn a_chart_shows_the_best_of_each_peer() {
        let bar = |label: &str, per_second| Bar { label: label.to_owned(), per_second };
        assert_eq!(bars(&results()), [bar("heron: defaults", 64_000.0), bar("swift: batch 9", 12_345.6)]);
        assert_eq!(best(&results()).map(|result| result.peer.as_str()), Some("heron"));
        assert_eq!((bars(&[]), best(&results()[2..3])), (vec![], None));
    }
}
