//! `cargo xtask test`: the steps, in the order in which they are cheapest to fail.

use crate::postgres::{self, Postgres};
use crate::steps::{Failure, Step, StepResult};
use crate::tests_run::{self, Selection};
use crate::workspace::{Workspace, cargo, run as run_command};
use crate::{licences, sim, steps, structure};

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct TestArgs {
    /// Leaves out what takes minutes; says what.
    #[arg(long)]
    quick: bool,
    /// Only the tests whose path contains one of these, and none of the checks.
    filter: Vec<String>,
}

/// Tests that take tens of seconds each, which `--quick` leaves out: parts of their paths.
const SLOW_TESTS: &[&str] = &["nothing_is_lost::", "poison::", "fairness::", "outage::"];

struct Session<'a> {
    args: &'a TestArgs,
    workspace: Option<Workspace>,
    postgres: Option<Postgres>,
}

/// Runs the steps that `args` ask for.
pub(crate) fn run(args: &TestArgs) -> Result<(), Failure> {
    let (steps, left_out) = plan(args);
    let mut session = Session { args, workspace: None, postgres: None };
    steps::run(&mut session, &steps, &left_out)
}

fn plan<'a>(args: &TestArgs) -> (Vec<Step<Session<'a>>>, Vec<String>) {
    let mut steps = Vec::new();
    let mut left_out = Vec::new();
    if args.filter.is_empty() {
        steps.push(Step { name: "format", run: format });
        if args.quick {
            left_out.push("clippy (--quick)".to_owned());
        } else {
            steps.push(Step { name: "clippy", run: clippy });
        }
        steps.push(Step { name: "structure", run: structure });
        steps.push(Step { name: "licences", run: licences });
    } else {
        left_out
            .push("format, clippy, structure, licences, and the tests that do not match (a filter was given)".into());
    }
    if args.quick {
        left_out.push(format!("the tests of {} (--quick)", SLOW_TESTS.join(" ")));
    }
    steps.push(Step { name: "postgres", run: postgres });
    steps.push(Step { name: "tests", run: tests });
    if args.filter.is_empty() && !args.quick {
        steps.push(Step { name: "clusters", run: |_| sim::test_clusters() });
    } else {
        left_out.push("the simulation of whole drivers (--quick or a filter)".to_owned());
    }
    (steps, left_out)
}

fn format(_: &mut Session<'_>) -> StepResult {
    run_command(cargo().args(["fmt", "--all", "--check"]), "run `cargo fmt`")?;
    Ok(String::new())
}

fn clippy(_: &mut Session<'_>) -> StepResult {
    let mut command = cargo();
    command.args(["clippy", "--workspace", "--all-targets", "--all-features"]);
    // In CI a lock file that does not fit is a mistake; at a desk it is about to be written.
    if std::env::var("CI").is_ok_and(|ci| ci == "true") {
        command.arg("--locked");
    }
    run_command(
        command.args(["--", "-D", "warnings"]),
        "mend what clippy names; `#[expect(…, reason)]` if it is wrong",
    )?;
    Ok("no warning".to_owned())
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
    Ok(session.workspace.as_ref().expect("it was loaded above"))
}

fn postgres(session: &mut Session<'_>) -> StepResult {
    let postgres = postgres::obtain()?;
    let described = postgres.described.clone();
    session.postgres = Some(postgres);
    Ok(described)
}

fn tests(session: &mut Session<'_>) -> StepResult {
    let postgres = session.postgres.as_ref().expect("the step before this one obtains it");
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
    fn nothing_is_left_out_silently() {
        let all = vec!["format", "clippy", "structure", "licences", "postgres", "tests", "clusters"];
        assert_eq!(names(false, &[]), (all, 0));
        assert_eq!(names(true, &[]), (vec!["format", "structure", "licences", "postgres", "tests"], 3));
        assert_eq!(names(false, &["gate"]), (vec!["postgres", "tests"], 2));
        assert_eq!(names(true, &["gate"]), (vec!["postgres", "tests"], 3));
    }
}
