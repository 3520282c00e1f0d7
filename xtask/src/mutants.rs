//! `cargo xtask mutants`: changes the core in one place at a time. The simulation must fail for
//! each change.

use crate::steps::Failure;
use crate::workspace::{cargo, root, run};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Arguments for `cargo mutants`.
#[derive(Debug, clap::Args)]
pub(crate) struct MutantsArgs {
    /// Such as `--shard 1/8`, `--jobs 2`, `--file core/src/gate.rs`, `--iterate`, `--list`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// The version whose options and report this file uses.
const VERSION: &str = "27.1.0";
const MUTATED: &str = "tidegate-core";
const PROFILE: &str = "mutants";
const TEST: &str = "quick::a_few_seeds_of_each_workload";
/// A mutant that takes this many times as long as the unchanged core hangs, and counts as killed.
const TIMEOUT_FACTOR: u64 = 5;
/// The smallest share of killed mutants, in percent. Below it the simulation has become too weak.
const KILLED_PERCENT_MIN: usize = 92;

/// Runs the mutants and counts the killed ones.
pub(crate) fn run_mutants(args: &MutantsArgs) -> Result<(), Failure> {
    let tool = tool()?;
    let timeout = baseline()?.as_secs().max(1) * TIMEOUT_FACTOR;
    let mut command = Command::new(&tool);
    command.current_dir(root()).arg("mutants");
    command.args(["--package", MUTATED, "--test-package", "tidegate-sim-tests", "--profile", PROFILE]);
    command.args(["--output", "target", "--baseline", "skip", "--timeout", &timeout.to_string()]);
    command.arg("--no-default-features").args(&args.args);
    command.args(["--", "--test", "it", TEST]);
    // Codes 2 and 3 mean that mutants survived or timed out. `judge` decides whether too many did.
    let status = command.status().map_err(|error| Failure::new(error.to_string(), "see above"))?;
    if args.args.iter().any(|arg| arg == "--list") || !matches!(status.code(), Some(0 | 2 | 3)) {
        return if status.success() {
            Ok(())
        } else {
            Err(Failure::new(format!("cargo mutants: {status}"), "see above"))
        };
    }
    judge(&mutants(&tool)?)
}

/// Runs the test on the unchanged core, which must pass, and returns its duration.
fn baseline() -> Result<Duration, Failure> {
    let test = |more: &[&str]| {
        let mut test = cargo();
        test.args(["test", "--profile", PROFILE, "--package", "tidegate-sim-tests", "--no-default-features"]);
        test.args(["--test", "it"]).args(more);
        run(&mut test, "fix the core first")
    };
    test(&["--no-run"])?;
    let began = Instant::now();
    test(&["--", TEST])?;
    Ok(began.elapsed())
}

/// The names of all mutants of the current source. A name contains a line number, so an edit of the
/// source renames the mutants below it.
fn mutants(tool: &Path) -> Result<BTreeSet<String>, Failure> {
    let mut list = Command::new(tool);
    list.current_dir(root()).args(["mutants", "--package", MUTATED, "--list"]);
    let output = list.output().map_err(|error| Failure::new(error.to_string(), "see above"))?;
    if !output.status.success() {
        return Err(Failure::new(
            format!("cargo mutants --list: {}", output.status),
            "run it by hand to see its messages",
        ));
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

fn judge(mutants: &BTreeSet<String>) -> Result<(), Failure> {
    let path = root().join("target/mutants.out/outcomes.json");
    let report = std::fs::read_to_string(&path).map_err(|error| error.to_string());
    let report = report.and_then(|text| serde_json::from_str::<Value>(&text).map_err(|error| error.to_string()));
    let report = report
        .map_err(|error| Failure::new(format!("{}: {error}", path.display()), "run `cargo xtask mutants` again"))?;
    let count = |name: &str| report[name].as_u64().unwrap_or_default() as usize;
    let (caught, timeout, missed) = (count("caught"), count("timeout"), count("missed"));
    let before = killed_before(mutants)?;
    let killed = caught + timeout + before;
    let viable = killed + missed;
    for outcome in report["outcomes"].as_array().into_iter().flatten() {
        if outcome["summary"] == "MissedMutant" {
            println!("survived: {}", outcome["scenario"]["Mutant"]["name"].as_str().unwrap_or_default());
        }
    }
    println!("killed {killed} of {viable}");
    if killed * 100 < viable * KILLED_PERCENT_MIN {
        let advice = "add a checker for each survivor, or explain in docs/simulation.md why its change is harmless";
        return Err(Failure::new(format!("less than {KILLED_PERCENT_MIN} % of the mutants were killed"), advice));
    }
    Ok(())
}

/// The number of mutants that `--iterate` left out because an earlier run killed them. The tool
/// also leaves out mutants that did not compile and lists both kinds together, so this function
/// keeps a list of its own of the ones that did not compile.
fn killed_before(mutants: &BTreeSet<String>) -> Result<usize, Failure> {
    let target = root().join("target");
    let lines = |path: &Path| -> BTreeSet<String> {
        std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
    };
    let path = target.join("mutants.unviable.txt");
    let mut unviable = lines(&path);
    unviable.extend(lines(&target.join("mutants.out.old/unviable.txt")));
    unviable.extend(lines(&target.join("mutants.out/unviable.txt")));
    let text = unviable.iter().map(|line| format!("{line}\n")).collect::<String>();
    std::fs::write(&path, text)
        .map_err(|error| Failure::new(format!("{}: {error}", path.display()), "free some disk space"))?;
    let caught = lines(&target.join("mutants.out/previously_caught.txt"));
    let killed = caught.intersection(mutants).filter(|name| !unviable.contains(*name)).count();
    if killed > 0 {
        println!("{killed} mutants were killed by earlier runs and left out of this one");
    }
    Ok(killed)
}

/// The path of cargo-mutants. Installs it below `target/` if it is missing.
fn tool() -> Result<PathBuf, Failure> {
    let folder = root().join("target/tools");
    let tool = folder.join("bin/cargo-mutants");
    if !tool.exists() {
        let mut install = cargo();
        install.args(["install", "cargo-mutants", "--version", VERSION, "--locked", "--root"]).arg(&folder);
        run(&mut install, "check the network connection: cargo fetches the tool once")?;
    }
    Ok(tool)
}
