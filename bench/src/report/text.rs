//! The text that the command prints: every series with its spread, and every target.

use super::Report;
use crate::targets::{TARGETS, Verdict};
use std::fmt::Write as _;

/// The report for a terminal.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    let mut line = |content: String| writeln!(text, "{content}").expect("writing to a String never fails");
    let machine = &report.machine;
    line(format!("tidegate {} ({}), {}", report.version, report.commit, report.day));
    line(format!("{}, {} cores, {} MiB; {}", machine.cpu, machine.cores, machine.memory_mib, machine.kernel));
    line(format!("{}; {}, SQLite {}, {}", machine.disk, machine.postgres, machine.sqlite, machine.rustc));
    line(format!("load before {} and after {}", machine.load.0, machine.load.1));
    for findings in &report.findings {
        line(format!("\n{} ({:.0} s)", findings.scenario, findings.took_s));
        for series in &findings.series {
            let Some(summary) = findings.summary(&series.name) else { continue };
            let (median, spread) = (series.unit.show(summary.median), series.unit.spread(&summary));
            line(format!("  {:<52} {median:>12}   {spread}", series.name));
        }
        for note in &findings.notes {
            line(format!("  note: {note}"));
        }
    }
    for failed in &report.failed {
        line(format!("\n{} failed: {}", failed.scenario, failed.why));
    }
    let judged = TARGETS.iter().map(|target| (target, target.judge(&report.findings)));
    let judged: Vec<_> = judged.filter(|(_, verdict)| *verdict != Verdict::NotMeasured).collect();
    if !judged.is_empty() {
        line("\ntargets".to_owned());
    }
    for (target, verdict) in judged {
        let median = match verdict {
            Verdict::Met { median } | Verdict::Missed { median, .. } => target.unit.show(median),
            Verdict::NotMeasured => continue,
        };
        line(format!(
            "  {:<52} {:>12}   {:<14} {}",
            target.label,
            median,
            target.bound.show(target.unit),
            target.describe(verdict)
        ));
    }
    if machine.was_busy() {
        line("\nThe machine had other work when the run began: do not quote its figures.".to_owned());
    }
    if report.quick {
        line("\nThis was a quick run: it only shows that the benchmark works. Do not quote its figures.".to_owned());
    }
    text
}
