//! `cargo xtask torture`: builds the daemon and the program that kills it in release mode, and runs
//! that program.

use crate::programs::{self, DAEMON};
use crate::steps::Failure;
use crate::workspace::run;
use std::process::Command;

/// Arguments for the torture.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct TortureArgs {
    /// `--minutes N`, `--store sqlite|postgres|both`, `--rate N`, `--seed S`; `--help` explains
    /// each.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

pub(crate) fn run_torture(args: &TortureArgs) -> Result<(), Failure> {
    let [daemon, torture] = programs::build([DAEMON, ("tidegate-torture", "torture")])?;
    let mut torture = Command::new(torture);
    torture.arg("--daemon").arg(daemon).args(&args.args);
    run(&mut torture, "see the messages above; the folder of a failed round has the store, the logs and the ledger")
}
