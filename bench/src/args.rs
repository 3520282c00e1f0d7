//! What the command is told.

use clap::Parser;
use std::path::PathBuf;

/// Measures how fast Tidegate is on this machine, each figure beside the limit of the machine itself.
///
/// It starts a throw-away Postgres and writes its files into the system's temporary folder, which must lie on a disk
/// (TMPDIR names another); all of it is gone when it ends. The machine should have nothing else to do.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", version)]
pub struct Args {
    /// Only these scenarios; if none is named, all but `peers`.
    pub scenarios: Vec<String>,
    /// Less of everything: all scenarios within five minutes. Its figures show that it works, and are not for quoting.
    #[arg(long)]
    pub quick: bool,
    /// How often each figure and its limit are measured [default: 3, or 1 with --quick].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub repeats: Option<u32>,
    /// Lists the scenarios, and measures nothing.
    #[arg(long)]
    pub list: bool,
    /// Writes all samples to this file.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Writes RESULTS.md and results.svg into this folder. A run of all scenarios that is not quick writes them to
    /// bench/ without being asked.
    #[arg(long, value_name = "FOLDER")]
    pub report: Option<PathBuf>,
    /// Measures nothing, and reports the samples that an earlier run wrote with --json. Several are put together: of a
    /// scenario that is in more than one, the last counts.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scenarios", "quick", "repeats", "json"])]
    pub from: Vec<PathBuf>,
    /// The daemon's program; `cargo xtask bench` builds it [default: `tidegate` beside this program].
    #[arg(long, value_name = "PROGRAM")]
    pub daemon: Option<PathBuf>,
}
