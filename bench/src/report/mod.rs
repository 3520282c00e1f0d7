//! Reports of the findings: JSON, text, a page and a picture.

mod markdown;
mod svg;
mod text;

pub use markdown::markdown;
pub use svg::svg;
pub use text::text;

use crate::context::Effort;
use crate::findings::Findings;
use crate::machine::Machine;
use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use std::process::Command;

/// One run, as `--json` writes it. The other reports are made from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The version of Tidegate.
    pub version: String,
    /// The measured commit from `git describe`, with `-dirty` if files differed from it.
    pub commit: String,
    /// The day of the run in UTC, such as `2026-11-25`.
    pub day: String,
    pub quick: bool,
    /// The smallest number of samples of a figure.
    pub repeats: u32,
    pub machine: Machine,
    pub findings: Vec<Findings>,
    pub failed: Vec<FailedScenario>,
}

/// A scenario without figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedScenario {
    pub scenario: String,
    /// The reason of the failure.
    pub why: String,
}

impl Report {
    /// The report of a run that ends now.
    #[must_use]
    pub fn new(effort: Effort, machine: Machine, findings: Vec<Findings>, failed: Vec<FailedScenario>) -> Self {
        let Effort { quick, repeats } = effort;
        let commit = output_of("git", &["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"]);
        let day = output_of("date", &["-u", "+%Y-%m-%d"]);
        Self { version: env!("CARGO_PKG_VERSION").to_owned(), commit, day, quick, repeats, machine, findings, failed }
    }

    /// Joins several runs of the same machine. Figures of different machines cannot be compared.
    pub fn join(reports: Vec<Self>) -> anyhow::Result<Self> {
        let mut reports = reports.into_iter();
        let mut joined = reports.next().context("no file with samples was given")?;
        for report in reports {
            let (one, other) = (&joined.machine, &report.machine);
            let same = one.cpu == other.cpu && one.cores == other.cores && one.kernel == other.kernel;
            ensure!(
                same,
                "the runs come from different machines, {} and {}; join runs of one machine",
                one.cpu,
                other.cpu
            );
            for findings in report.findings {
                joined.findings.retain(|earlier| earlier.scenario != findings.scenario);
                joined.failed.retain(|failed| failed.scenario != findings.scenario);
                joined.findings.push(findings);
            }
            joined.quick |= report.quick;
            joined.repeats = joined.repeats.min(report.repeats);
            if joined.commit != report.commit {
                joined.commit = format!("{}, {}", joined.commit, report.commit);
            }
            if joined.machine.postgres.is_empty() {
                joined.machine.postgres = report.machine.postgres;
            }
        }
        let order =
            |findings: &Findings| crate::scenarios::ALL.iter().position(|known| known.name == findings.scenario);
        joined.findings.sort_by_key(order);
        Ok(joined)
    }
}

fn output_of(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().ok().filter(|output| output.status.success());
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
