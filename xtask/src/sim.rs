//! `cargo xtask sim`: builds the simulator as fast as it gets, with all assertions, and hands over to it.

use crate::steps::{Failure, StepResult};
use crate::workspace::{cargo, run};
use std::process::Command;

/// What the simulator is told.
#[derive(Debug, clap::Args)]
pub(crate) struct SimArgs {
    /// 1: dispatchers in a simulated world. 2: whole drivers on a simulated runtime. 3: random commands against every
    /// store.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    tier: u8,
    /// `--seeds N`, `--from S`, `--seed S`, `--plan FILE`, `probes`, `sabotage`, `exhaustive`, `determinism`, `help`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

const ADVICE: &str = "what broke is shown above: mend it, and keep the shrunk plan in sim-tests/regressions/";
const RUNNER: [&str; 4] = ["--package", "tidegate-sim-tests", "--bin", "sim"];
/// Seeds of whole drivers that every run of the tests plays.
const CLUSTERS: u64 = 300;

/// Runs it.
pub(crate) fn run_sim(args: &SimArgs) -> Result<(), Failure> {
    match (args.tier, args.args.first().map(String::as_str)) {
        (1, Some("determinism")) => determinism(),
        (1, _) => run(simulator("sim").args(&args.args), ADVICE),
        (2, _) => run(clusters("sim").args(&args.args), ADVICE),
        _ => run(cargo().args(["xtask", "test", "random::"]), "the shortest stream that differs is shown above"),
    }
}

/// What every run of the tests plays of whole drivers.
pub(crate) fn test_clusters() -> StepResult {
    let seeds = CLUSTERS.to_string();
    run(clusters("dev").args(["--seeds", &seeds]), ADVICE)?;
    Ok(format!("{seeds} seeds of whole drivers"))
}

fn simulator(profile: &str) -> Command {
    let mut command = cargo();
    command.args(["run", "--quiet", "--profile", profile]).args(RUNNER).arg("--");
    command
}

/// Everything that is async is built for the simulated runtime, apart from all other builds.
fn clusters(profile: &str) -> Command {
    let mut command = cargo();
    command.args(["run", "--profile", profile, "--target-dir", "target/madsim"]).args(RUNNER).args(["--", "clusters"]);
    command.env("RUSTFLAGS", "--cfg madsim");
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
