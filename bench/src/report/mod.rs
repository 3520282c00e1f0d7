//! What is made of the findings: data to keep, text to read, a page and a picture to show.

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

/// One run, as `--json` writes it. All else is made from this alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Of Tidegate.
    pub version: String,
    /// The commit that was measured, as git names it; with `-dirty` if files differed from it.
    pub commit: String,
    /// The day, in UTC.
    pub day: String,
    /// Whether less was measured.
    pub quick: bool,
    /// How often each figure was measured, at the least.
    pub repeats: u32,
    /// On what.
    pub machine: Machine,
    /// Scenario by scenario.
    pub findings: Vec<Findings>,
    /// What could not be measured.
    pub failed: Vec<Failed>,
}

/// A scenario that gave no figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Its name.
    pub scenario: String,
    /// What went wrong.
    pub why: String,
}

impl Report {
    /// Of a run that has just ended.
    #[must_use]
    pub fn new(effort: Effort, machine: Machine, findings: Vec<Findings>, failed: Vec<Failed>) -> Self {
        let Effort { quick, repeats } = effort;
        let commit = says("git", &["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"]);
        let day = says("date", &["-u", "+%Y-%m-%d"]);
        Self { version: env!("CARGO_PKG_VERSION").to_owned(), commit, day, quick, repeats, machine, findings, failed }
    }

    /// Several runs as one. They must be of one machine, or their figures could not stand side by side.
    pub fn join(reports: Vec<Self>) -> anyhow::Result<Self> {
        let mut reports = reports.into_iter();
        let mut joined = reports.next().context("there is nothing to report")?;
        for report in reports {
            let (one, other) = (&joined.machine, &report.machine);
            let same = one.cpu == other.cpu && one.cores == other.cores && one.kernel == other.kernel;
            ensure!(same, "the runs are of different machines: {} and {}", one.cpu, other.cpu);
            for found in report.findings {
                joined.findings.retain(|before| before.scenario != found.scenario);
                joined.failed.retain(|failed| failed.scenario != found.scenario);
                joined.findings.push(found);
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
        let order = |found: &Findings| crate::scenarios::ALL.iter().position(|known| known.name == found.scenario);
        joined.findings.sort_by_key(order);
        Ok(joined)
    }
}

fn says(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().ok().filter(|output| output.status.success());
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
