//! `cargo xtask sim`: builds the simulator as fast as it gets, with all assertions, and hands over to it.

use crate::steps::Failure;
use crate::workspace::{cargo, run};

/// What the simulator is told.
#[derive(Debug, clap::Args)]
pub(crate) struct SimArgs {
    /// `--seeds N`, `--seed S`, `--plan FILE`, `probes`, `sabotage`, `exhaustive`, `determinism`, `help`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

const ADVICE: &str = "the shrunk plan is above: mend it, and keep the plan in sim-tests/regressions/";

/// Runs it.
pub(crate) fn run_sim(args: &SimArgs) -> Result<(), Failure> {
    match args.args.first().map(String::as_str) {
        Some("determinism") => determinism(),
        _ => run(simulator("sim").args(&args.args), ADVICE),
    }
}

fn simulator(profile: &str) -> std::process::Command {
    let mut command = cargo();
    command.args(["run", "--quiet", "--profile", profile, "--package", "tidegate-sim-tests", "--bin", "sim", "--"]);
    command
}

/// The same seeds in three processes, of three builds, must hash to the same.
fn determinism() -> Result<(), Failure> {
    let advice = "something outside of the plan decides: a hash map's order, a clock, an address";
    let hashes = |profile| {
        let output = simulator(profile).args(["hash", "--seeds", "500"]).output();
        let output = output.map_err(|error| Failure::new(format!("the simulator: {error}"), "is cargo there?"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let is_whole = output.status.success() && text.lines().count() == 500;
        if is_whole { Ok(text) } else { Err(Failure::new("the simulator did not hash 500 seeds", advice)) }
    };
    let (one, other, debug) = (hashes("sim")?, hashes("release")?, hashes("dev")?);
    for (line, (there, elsewhere)) in one.lines().zip(other.lines().zip(debug.lines())) {
        if line != there || line != elsewhere {
            return Err(Failure::new(format!("not the same: {line}, {there}, debug {elsewhere}"), advice));
        }
    }
    println!("500 seeds hash to the same in three processes: debug, release, and optimised with assertions");
    Ok(())
}
