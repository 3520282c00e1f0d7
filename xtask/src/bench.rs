//! `cargo xtask bench`: builds the benchmark and the daemon that it measures in release mode, and
//! runs the benchmark.

use crate::programs::{self, DAEMON};
use crate::steps::Failure;
use crate::workspace::run;
use std::process::Command;

/// Arguments for the benchmark.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct BenchArgs {
    /// `--quick`, `--json FILE`, `--list`, `--report FOLDER`, scenarios; `--help` explains each.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

pub(crate) fn run_bench(args: &BenchArgs) -> Result<(), Failure> {
    let [daemon, bench] = programs::build([DAEMON, ("tidegate-bench", "bench")])?;
    let mut bench = Command::new(bench);
    bench.arg("--daemon").arg(daemon).args(&args.args);
    run(&mut bench, "see the messages above for each scenario that was not measured")
}
