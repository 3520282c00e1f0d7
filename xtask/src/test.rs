//! `cargo xtask test`: the steps of CI, the cheapest ones first.

use crate::postgres::{self, Postgres};
use crate::steps::{Failure, Step, StepResult};
use crate::tests_run::{self, Selection};
use crate::workspace::{Workspace, cargo, root, run as run_command};
use crate::{commits, licences, sim, steps, structure};

/// Options of `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub(crate) struct TestArgs {
    /// Leaves out the steps and tests that take minutes, and lists them.
    #[arg(long)]
    quick: bool,
    /// Parts of the paths of tests. Only matching tests run, without the checks. Without a part,
    /// all checks and tests run.
    filter: Vec<String>,
}

/// Parts of the paths of tests that take tens of seconds each. `--quick` leaves them out.
const SLOW_TESTS: &[&str] = &["nothing_is_lost::", "poison::", "fairness::", "outage::"];

struct Session<'a> {
    args: &'a TestArgs,
    workspace: Option<Workspace>,
    postgres: Option<Postgres>,
}

/// Runs the steps that `args` select.
pub(crate) fn run(args: &TestArgs) -> Result<(), Failure> {
    let (steps, left_out) = plan(args);
    let mut session = Session { args, workspace: None, postgres: None };
    steps::run(&mut session, &steps, &left_out)
}

fn plan<'a>(args: &TestArgs) -> (Vec<Step<Session<'a>>>, Vec<String>) {
    let mut steps = Vec::new();
    let mut left_out = Vec::new();
    if args.filter.is_empty() {
        steps.push(Step { name: "commits", run: |_| commits::note() });
        steps.push(Step { name: "format", run: format });
        if args.quick {
            left_out.push("clippy and the check of the fuzz targets (--quick)".to_owned());
        } else {
            steps.push(Step { name: "clippy", run: clippy });
            steps.push(Step { name: "fuzz targets", run: fuzz_targets });
        }
        steps.push(Step { name: "structure", run: structure });
        steps.push(Step { name: "licences", run: licences });
    } else {
        left_out.push("all checks, and the tests that do not match (a filter is set)".into());
    }
    if args.quick {
        left_out.push(format!("the tests of {} (--quick)", SLOW_TESTS.join(" ")));
    }
    // A fault that the simulation finds is cheaper to understand than one on a real server.
    if args.filter.is_empty() && !args.quick {
        steps.push(Step { name: "clusters", run: |_| sim::test_clusters() });
    } else {
        left_out.push("the simulation of whole drivers (--quick or a filter)".to_owned());
    }
    steps.push(Step { name: "postgres", run: postgres });
    steps.push(Step { name: "tests", run: tests });
    (steps, left_out)
}

fn format(_: &mut Session<'_>) -> StepResult {
    run_command(cargo().args(["fmt", "--all", "--check"]), "run `cargo fmt`")?;
    Ok(String::new())
}

fn clippy(_: &mut Session<'_>) -> StepResult {
    let mut command = cargo();
    command.args(["clippy", "--workspace", "--all-targets", "--all-features"]);
    // In CI a stale lock file is a mistake. On a developer's machine cargo may update it.
    if std::env::var("CI").is_ok_and(|ci| ci == "true") {
        command.arg("--locked");
    }
    run_command(
        command.args(["--", "-D", "warnings"]),
        "fix each place that clippy names, or add `#[expect(…, reason)]` if the lint is wrong there",
    )?;
    Ok("no warnings".to_owned())
}

/// Compiles the fuzz targets without libFuzzer, so that they keep up with the code.
fn fuzz_targets(_: &mut Session<'_>) -> StepResult {
    let mut command = cargo();
    command.args(["check", "--locked", "--manifest-path", "fuzz/Cargo.toml", "--no-default-features"]);
    command.arg("--target-dir").arg(root().join("target"));
    run_command(&mut command, "adapt the targets in fuzz/; `cargo metadata` in that folder updates its lock file")?;
    Ok("compiled".to_owned())
}

fn structure(session: &mut Session<'_>) -> StepResult {
    structure::check(workspace(session)?)
}

fn licences(session: &mut Session<'_>) -> StepResult {
    licences::check(workspace(session)?)
}

fn workspace<'a>(session: &'a mut Session<'_>) -> Result<&'a Workspace, Failure> {
    if session.workspace.is_none() {
        session.workspace = Some(Workspace::load()?);
    }
    Ok(session.workspace.as_ref().expect("the lines above load it"))
}

fn postgres(session: &mut Session<'_>) -> StepResult {
    let postgres = postgres::obtain()?;
    let description = postgres.description.clone();
    session.postgres = Some(postgres);
    Ok(description)
}

fn tests(session: &mut Session<'_>) -> StepResult {
    let postgres = session.postgres.as_ref().expect("the step `postgres` runs before this one");
    let skip = if session.args.quick { SLOW_TESTS } else { &[] };
    let selection = Selection { only: &session.args.filter, skip };
    tests_run::run(&selection, &[(postgres::VARIABLE, &postgres.url)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(quick: bool, filter: &[&str]) -> (Vec<&'static str>, usize) {
        let args = TestArgs { quick, filter: filter.iter().map(|&name| name.to_owned()).collect() };
        let (steps, left_out) = plan(&args);
        (steps.iter().map(|step| step.name).collect(), left_out.len())
    }

    #[test]
    fn each_step_runs_or_is_listed_as_left_out() {
        let all = vec![
            "commits",
            "format",
            "clippy",
            "fuzz targets",
            "structure",
            "licences",
            "clusters",
            "postgres",
            "tests",
        ];
        assert_eq!(names(false, &[]), (all, 0));
        assert_eq!(names(true, &[]), (vec!["commits", "format", "structure", "licences", "postgres", "tests"], 3));
        assert_eq!(names(false, &["gate"]), (vec!["postgres", "tests"], 2));
        assert_eq!(names(true, &["gate"]), (vec!["postgres", "tests"], 3));
    }
}
