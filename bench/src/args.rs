//! The arguments of the command.

use clap::Parser;
use std::path::PathBuf;

/// Measures the speed of Tidegate on this machine and compares each figure with a limit of the
/// machine.
///
/// It starts a throw-away Postgres and writes its files to the system's temporary folder. That
/// folder must be on a disk; TMPDIR names another folder. The command removes all files at its end.
/// The machine should be idle otherwise.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", version)]
pub struct Args {
    /// The scenarios to run. All scenarios except `peers` run if none is named.
    pub scenarios: Vec<String>,
    /// Measures less, so that all scenarios end within five minutes. The figures only show that the
    /// benchmark works: do not quote them.
    #[arg(long)]
    pub quick: bool,
    /// The number of times to measure each figure and its limit [default: 3, or 1 with --quick].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub repeats: Option<u32>,
    /// Lists the scenarios without measuring.
    #[arg(long)]
    pub list: bool,
    /// Writes all samples to this file.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Writes RESULTS.md and results.svg to this folder. A full run of all scenarios writes them to
    /// bench/ by default.
    #[arg(long, value_name = "FOLDER")]
    pub report: Option<PathBuf>,
    /// Reports the samples that an earlier run wrote with --json, without measuring. Several files
    /// are joined. If a scenario is in more than one file, the last file counts.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scenarios", "quick", "repeats", "json"])]
    pub from: Vec<PathBuf>,
    /// The program of the daemon, which `sync-http` and `memory` measure; the other scenarios
    /// measure the crates that this program is built with. `cargo xtask bench` builds both from the
    /// same files [default: `tidegate` in the folder of this program].
    #[arg(long, value_name = "PROGRAM")]
    pub daemon: Option<PathBuf>,
}
