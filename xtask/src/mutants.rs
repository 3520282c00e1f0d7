//! `cargo xtask mutants`: changes the core in one place at a time. The simulation must fail for
//! each change.

use crate::cpu_limit::{EXHAUSTED, LIMITED};
use crate::steps::Failure;
use crate::workspace::{cargo, host, root, run};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

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
/// The test prints its CPU time in a line that begins like this.
const CPU_TIME: &str = "CPU time in ms: ";
/// A mutant that takes this many times the CPU time of the unchanged core hangs, and counts as
/// killed.
const LIMIT_FACTOR: u64 = 4;
/// Ends a mutant that waits forever without using CPU time. Its fate is unknown, so it counts as a
/// survivor: a test that is niced on a busy machine must not meet this limit.
const TIMEOUT: Duration = Duration::from_secs(3_600);
/// The log of a mutant that does not compile.
const UNVIABLE: &str = "could not compile `tidegate-core`";
/// The smallest share of killed mutants, in percent. Below it the simulation has become too weak.
const KILLED_PERCENT_MIN: usize = 94;

/// Runs the mutants and counts the killed ones.
pub(crate) fn run_mutants(args: &MutantsArgs) -> Result<(), Failure> {
    let tool = tool()?;
    let mut command = Command::new(&tool);
    command.current_dir(root()).arg("mutants").env("CARGO_INCREMENTAL", "1");
    command.args(["--package", MUTATED, "--test-package", "tidegate-sim-tests", "--profile", PROFILE]);
    command.args(["--output", "target", "--baseline", "skip", "--timeout", &TIMEOUT.as_secs().to_string()]);
    // Build only the binary of the test.
    command.args(["--cargo-arg=--test", "--cargo-arg=it", "--no-default-features"]).args(&args.args);
    let lists_only = args.args.iter().any(|arg| arg == "--list");
    if !lists_only {
        check_limit()?;
        let limit = baseline()?.as_secs().max(1) * LIMIT_FACTOR;
        command.args(["--cargo-arg=--config", &format!("--cargo-arg={}", runner(limit)?)]);
    }
    command.args(["--", TEST]);
    // Codes 2 and 3 mean that mutants survived or timed out. `judge` decides whether too many did.
    let status = command.status().map_err(|error| Failure::new(error.to_string(), "see above"))?;
    if lists_only || !matches!(status.code(), Some(0 | 2 | 3)) {
        return if status.success() {
            Ok(())
        } else {
            Err(Failure::new(format!("cargo mutants: {status}"), "see above"))
        };
    }
    judge(&mutants(&tool)?)
}

/// Fails if this system does not stop a program at its limit of CPU time.
fn check_limit() -> Result<(), Failure> {
    let mut endless = Command::new(this_program()?);
    endless.args(["limit-cpu", "1", "sh", "-c", "while :; do :; done"]);
    let output = endless.output().map_err(|error| Failure::new(error.to_string(), "is there a shell?"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    if output.status.success() || !text.contains(EXHAUSTED) {
        let problem = format!("an endless loop was not stopped after 1 s of CPU time: {text}");
        return Err(Failure::new(problem, "use a system that enforces RLIMIT_CPU, such as Linux or macOS"));
    }
    Ok(())
}

fn this_program() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|error| Failure::new(format!("where is xtask? {error}"), "run it with cargo"))
}

/// A setting that makes cargo run tests with a limit of CPU time.
fn runner(limit_seconds: u64) -> Result<String, Failure> {
    let program = this_program()?;
    let program = program.to_str().ok_or_else(|| Failure::new("the path of xtask is not UTF-8", "move the folder"))?;
    let runner = Value::from(vec![program, "limit-cpu", &limit_seconds.to_string()]);
    Ok(format!("target.{}.runner={runner}", host()?))
}

/// Runs the test on the unchanged core, which must pass, and returns its CPU time.
fn baseline() -> Result<Duration, Failure> {
    let test = |more: &[&str]| {
        let mut test = cargo();
        test.env("CARGO_INCREMENTAL", "1");
        test.args(["test", "--profile", PROFILE, "--package", "tidegate-sim-tests", "--no-default-features"]);
        test.args(["--test", "it"]).args(more);
        test
    };
    run(&mut test(&["--no-run"]), "fix the core first")?;
    let output = test(&["--", TEST, "--nocapture"]).output();
    let output = output.map_err(|error| Failure::new(error.to_string(), "see above"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let text = format!("the unchanged core fails: {text}{}", String::from_utf8_lossy(&output.stderr));
        return Err(Failure::new(text, "fix the core first"));
    }
    let millis = text.lines().find_map(|line| line.split_once(CPU_TIME)?.1.parse().ok());
    let millis = millis.ok_or_else(|| Failure::new(format!("{TEST} does not print `{CPU_TIME}`"), "let it do so"))?;
    Ok(Duration::from_millis(millis))
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
    let folder = root().join("target/mutants.out");
    let path = folder.join("outcomes.json");
    let report = std::fs::read_to_string(&path).map_err(|error| error.to_string());
    let report = report.and_then(|text| serde_json::from_str::<Value>(&text).map_err(|error| error.to_string()));
    let report = report
        .map_err(|error| Failure::new(format!("{}: {error}", path.display()), "run `cargo xtask mutants` again"))?;
    let read_log = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    let tally = Tally::of(&report, read_log)?;
    let before = killed_before(mutants)?;
    tally.fates.iter().filter(|(fate, _)| *fate != Fate::Caught).for_each(|(fate, name)| println!("{fate:?}: {name}"));
    let killed = tally.count(Fate::Caught) + tally.count(Fate::Stopped) + before;
    let viable = tally.fates.len() + before;
    println!("killed {killed} of {viable}, {} of them by the limit of CPU time", tally.count(Fate::Stopped));
    if killed * 100 < viable * KILLED_PERCENT_MIN {
        let advice = "add a checker for each survivor, or explain in docs/simulation.md why its change is harmless";
        return Err(Failure::new(format!("less than {KILLED_PERCENT_MIN} % of the mutants were killed"), advice));
    }
    Ok(())
}

/// How the test of a viable mutant ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Caught,
    /// Killed by the limit of CPU time.
    Stopped,
    TimedOut,
    Survived,
}

/// The fates of the viable mutants of one run, with their names.
#[derive(Debug, PartialEq, Eq)]
struct Tally {
    fates: Vec<(Fate, String)>,
}

impl Tally {
    /// Reads the report of a run. `read_log` reads a log by the path in the report. Fails if a test
    /// ran without a limit of CPU time: it may have failed only because it could not be started.
    /// Fails as well if a mutant compiles and its test does not.
    fn of(report: &Value, read_log: impl Fn(&str) -> String) -> Result<Self, Failure> {
        let mut fates = Vec::new();
        for outcome in report["outcomes"].as_array().into_iter().flatten() {
            let name = outcome["scenario"]["Mutant"]["name"].as_str().unwrap_or_default().to_owned();
            let log = read_log(outcome["log_path"].as_str().unwrap_or_default());
            let fate = match outcome["summary"].as_str() {
                Some("CaughtMutant") if log.contains(EXHAUSTED) => Fate::Stopped,
                Some("CaughtMutant") => Fate::Caught,
                Some("Timeout") => Fate::TimedOut,
                Some("MissedMutant") => Fate::Survived,
                Some("Unviable") if log.contains(UNVIABLE) => continue,
                Some("Unviable") => {
                    let advice = "see its log in target/mutants.out; a full disk and a broken linker have this effect";
                    return Err(Failure::new(format!("{name}: it compiles, but its test was not built"), advice));
                }
                other => {
                    return Err(Failure::new(
                        format!("{name}: unknown outcome {other:?}"),
                        "adapt xtask/src/mutants.rs",
                    ));
                }
            };
            if !log.contains(LIMITED) {
                let advice = "does a setting of cargo replace the runner of tests?";
                return Err(Failure::new(format!("{name}: its test ran without a limit of CPU time"), advice));
            }
            fates.push((fate, name));
        }
        Ok(Self { fates })
    }

    fn count(&self, fate: Fate) -> usize {
        self.fates.iter().filter(|(other, _)| *other == fate).count()
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tally(summary: &str, log: &str) -> Option<Vec<Fate>> {
        let report = json!({"outcomes": [
            {"scenario": {"Mutant": {"name": "core/src/gate.rs: replace"}}, "summary": summary, "log_path": "log/a.log"},
        ]});
        let tally = Tally::of(&report, |path| if path == "log/a.log" { log.to_owned() } else { String::new() });
        tally.ok().map(|tally| tally.fates.into_iter().map(|(fate, _)| fate).collect())
    }

    #[test]
    fn each_viable_mutant_has_a_fate() {
        let log = format!("{LIMITED} 7 s");
        assert_eq!(tally("CaughtMutant", &log), Some(vec![Fate::Caught]));
        assert_eq!(tally("CaughtMutant", &format!("{log}\n{EXHAUSTED}")), Some(vec![Fate::Stopped]));
        assert_eq!(tally("MissedMutant", &log), Some(vec![Fate::Survived]));
        assert_eq!(tally("Timeout", &log), Some(vec![Fate::TimedOut]));
        assert_eq!(tally("Unviable", UNVIABLE), Some(vec![]));
        assert_eq!(tally("Unviable", "linking failed"), None);
        assert_eq!(tally("Failure", &log), None);
    }

    #[test]
    fn a_test_without_a_limit_is_refused() {
        assert_eq!(tally("CaughtMutant", "cannot execute the runner"), None);
        assert_eq!(tally("MissedMutant", ""), None);
    }
}
