//! `cargo xtask limit-cpu`: runs a program that may use a limited CPU time.
//!
//! A busy machine makes a program slow and a timeout meaningless, but changes its CPU time little.

use crate::steps::Failure;
use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

#[derive(Debug, clap::Args)]
pub(crate) struct LimitCpuArgs {
    /// The CPU time of the program and of each process that it starts.
    seconds: u64,
    /// The program with its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// The system sends SIGXCPU at the limit, and SIGKILL this many seconds later.
const GRACE_SECONDS: u64 = 5;
/// The program's CPU time was limited.
pub(crate) const LIMITED: &str = "xtask limits the CPU time to";
/// The program used up its CPU time.
pub(crate) const EXHAUSTED: &str = "xtask stopped the program: it used up its CPU time";

/// Runs the program. Fails if the limit cannot be set, and if the program fails or is stopped.
pub(crate) fn run_limited(args: &LimitCpuArgs) -> Result<(), Failure> {
    // The limit of this process, which uses almost no CPU time. The program inherits it.
    let limit = Rlimit { current: Some(args.seconds), maximum: Some(args.seconds + GRACE_SECONDS) };
    setrlimit(Resource::Cpu, limit)
        .map_err(|error| Failure::new(format!("the CPU time cannot be limited: {error}"), "check `ulimit -t`"))?;
    eprintln!("{LIMITED} {} s", args.seconds);
    let (program, rest) = args.command.split_first().expect("clap requires a command");
    let status = Command::new(program).args(rest).status();
    let status = status
        .map_err(|error| Failure::new(format!("{} cannot be started: {error}", program.display()), "check its path"))?;
    if status.success() {
        Ok(())
    } else if status.signal() == Some(Signal::XCPU.as_raw()) {
        Err(Failure::new(EXHAUSTED, "raise the limit, or find the endless loop"))
    } else {
        Err(Failure::new(format!("{}: {status}", program.display()), "see above"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_follows_the_limit() {
        use clap::Parser;
        #[derive(Debug, Parser)]
        struct Line {
            #[command(flatten)]
            args: LimitCpuArgs,
        }
        let line = Line::try_parse_from(["limit-cpu", "7", "program", "--test", "it"]).unwrap();
        assert_eq!((line.args.seconds, line.args.command), (7, ["program", "--test", "it"].map(OsString::from).into()));
        assert!(Line::try_parse_from(["limit-cpu", "7"]).is_err());
    }
}
