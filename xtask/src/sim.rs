//! `cargo xtask sim`: builds the simulator with optimisation and all assertions, and runs it.

use crate::steps::{Failure, StepResult};
use crate::workspace::{cargo, run};
use std::process::Command;

/// Arguments for the simulator.
#[derive(Debug, clap::Args)]
pub(crate) struct SimArgs {
    /// 1: dispatchers in a simulated world. 2: whole drivers on a simulated runtime. 3: random
    /// commands against every store.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    tier: u8,
    /// `--seeds N`, `--from S`, `--seed S`, `--plan FILE`, `--profile
    /// mixed|jitter|gate|loops|overlap|crash|restore|fair`, `probes`, `sabotage`, `help`. Tier 1
    /// also has `exhaustive` and `determinism`, tier 2 `suite`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

const ADVICE: &str = "fix the failure above and add the shrunk plan to sim-tests/regressions/";
const RUNNER: [&str; 4] = ["--package", "tidegate-sim-tests", "--bin", "sim"];
/// The number of seeds of whole drivers in each run of the tests.
const CLUSTER_SEEDS: u64 = 2_000;

pub(crate) fn run_sim(args: &SimArgs) -> Result<(), Failure> {
    match (args.tier, args.args.first().map(String::as_str)) {
        (1, Some("determinism")) => determinism(),
        (1, Some("sabotage")) => {
            run(simulator("sim").args(&args.args), ADVICE)?;
            run(clusters("sim").arg("sabotage"), ADVICE)
        }
        (1, _) => run(simulator("sim").args(&args.args), ADVICE),
        (2, _) => run(clusters("sim").args(&args.args), ADVICE),
        _ => run(cargo().args(["xtask", "test", "random::"]), "see the shortest stream that differs above"),
    }
}

/// The step of `cargo xtask test` that simulates whole drivers.
pub(crate) fn test_clusters() -> StepResult {
    let seeds = CLUSTER_SEEDS.to_string();
    run(clusters("dev").args(["suite", "--seeds", &seeds]), ADVICE)?;
    Ok(format!("{seeds} seeds of whole drivers"))
}

fn simulator(profile: &str) -> Command {
    let mut command = cargo();
    command.args(["run", "--quiet", "--profile", profile]).args(RUNNER).arg("--");
    command
}

/// Whole drivers need all async crates built for the simulated runtime, in a target folder of their
/// own.
fn clusters(profile: &str) -> Command {
    let mut command = cargo();
    command.args(["run", "--profile", profile, "--target-dir", "target/madsim"]).args(RUNNER).arg("--");
    command.env("RUSTFLAGS", "--cfg madsim");
    command
}

/// The same seeds must give the same hashes in three processes of three builds.
fn determinism() -> Result<(), Failure> {
    let advice = "find the input that is not in the plan: the order of a hash map, a clock, an address";
    let hashes = |profile| {
        let output = simulator(profile).args(["hash", "--seeds", "500"]).output();
        let output =
            output.map_err(|error| Failure::new(format!("the simulator: {error}"), "is cargo on the PATH?"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let is_whole = output.status.success() && text.lines().count() == 500;
        if is_whole { Ok(text) } else { Err(Failure::new("the simulator did not hash 500 seeds", advice)) }
    };
    let (one, other, debug) = (hashes("sim")?, hashes("release")?, hashes("dev")?);
    for (line, (there, elsewhere)) in one.lines().zip(other.lines().zip(debug.lines())) {
        if line != there || line != elsewhere {
            return Err(Failure::new(
                format!("the hashes differ: sim {line}, release {there}, debug {elsewhere}"),
                advice,
            ));
        }
    }
    println!("500 seeds have the same hashes in three processes: debug, release, and optimised with assertions");
    Ok(())
}
