//! `cargo test` for the whole workspace in one call, and the number of tests that it ran.

use crate::steps::{Failure, StepResult};
use crate::workspace::{cargo, show};
use std::io::{BufRead as _, BufReader, IsTerminal as _};
use std::process::{ExitStatus, Stdio};

/// If fewer tests run, a suite is missing. Raise this number as tests are added. A commit that
/// lowers it gives the reason.
const TESTS_FLOOR: u32 = 700;

/// The tests to run.
#[derive(Debug, Default)]
pub(crate) struct Selection<'a> {
    /// Parts of the paths of tests to run. All tests run if it is empty.
    pub(crate) only: &'a [String],
    /// Parts of the paths of tests to leave out.
    pub(crate) skip: &'a [&'a str],
}

/// The sums over the summaries of all test binaries.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    binaries: u32,
    passed: u32,
    failed: u32,
    ignored: u32,
    filtered_out: u32,
}

/// Runs the tests with the environment variables `env`.
pub(crate) fn run(selection: &Selection<'_>, env: &[(&str, &str)]) -> StepResult {
    let mut command = cargo();
    command.args(["test", "--workspace", "--locked", "--no-fail-fast"]);
    let colour = if std::io::stdout().is_terminal() { "always" } else { "never" };
    command.args(["--color", colour, "--", "--color", colour]).args(selection.only);
    command.args(selection.skip.iter().flat_map(|name| ["--skip", name]));
    command.envs(env.iter().copied()).stdout(Stdio::piped());
    let line = show(&command);
    println!("{line}");
    let (counts, status) =
        stream(&mut command).map_err(|error| Failure::new(format!("`{line}`: {error}"), "is cargo on the PATH?"))?;
    if !status.success() {
        let advice = "fix the failing test above; `cargo xtask test NAME` runs it alone. If the lock file is out of date, \
                      run `cargo check` and commit Cargo.lock";
        return Err(Failure::new(format!("`{line}`: {status}"), advice));
    }
    judge(&counts, selection)
}

fn stream(command: &mut std::process::Command) -> std::io::Result<(Counts, ExitStatus)> {
    let mut child = command.spawn()?;
    let mut counts = Counts::default();
    let output = child.stdout.take().expect("the command sets its output to a pipe");
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        counts.add(&line);
    }
    Ok((counts, child.wait()?))
}

fn judge(counts: &Counts, selection: &Selection<'_>) -> StepResult {
    let ran = counts.passed + counts.failed;
    let is_whole = selection.only.is_empty() && selection.skip.is_empty();
    if is_whole && ran < TESTS_FLOOR {
        let problem = format!("only {ran} tests ran, at least {TESTS_FLOOR} are expected");
        return Err(Failure::new(problem, "find the missing suite; the floor is in xtask/src/tests_run.rs"));
    }
    if is_whole && counts.ignored + counts.filtered_out > 0 {
        let problem = format!("{} tests ignored, {} filtered out", counts.ignored, counts.filtered_out);
        return Err(Failure::new(problem, "fix or delete each test that does not run; no test may skip itself"));
    }
    if !selection.only.is_empty() && ran == 0 {
        return Err(Failure::new("no test matches the filter", "use a part of a test's path, such as `retry::`"));
    }
    Ok(format!("{ran} tests in {} binaries", counts.binaries))
}

impl Counts {
    /// Adds the counts of a line such as `test result: ok. 12 passed; 0 failed; 3 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some((_, summary)) = line.split_once("test result: ") else { return };
        // Colour codes surround the verdict. The text after it has none.
        let Some((_, numbers)) = summary.split_once(". ") else { return };
        self.binaries += 1;
        for part in numbers.split("; ") {
            let Some((number, kind)) = part.split_once(' ') else { continue };
            let Ok(number) = number.parse::<u32>() else { continue };
            match kind {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                "filtered out" => self.filtered_out += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_add_up() {
        let mut counts = Counts::default();
        for line in [
            "running 12 tests",
            "test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 4 filtered out; finished in 0.01s",
            "test result: \u{1b}[32mok\u{1b}[0m. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s",
        ] {
            counts.add(line);
        }
        let expected = Counts { binaries: 2, passed: 14, failed: 1, ignored: 3, filtered_out: 4 };
        assert_eq!(counts, expected);
    }

    #[test]
    fn a_missing_suite_or_a_skipped_test_is_a_failure() {
        let whole = Selection::default();
        let all = Counts { binaries: 1, passed: TESTS_FLOOR, ..Counts::default() };
        assert!(judge(&all, &whole).is_ok());
        assert!(judge(&Counts { passed: TESTS_FLOOR - 1, ..all }, &whole).is_err());
        assert!(judge(&Counts { passed: TESTS_FLOOR, ignored: 1, ..Counts::default() }, &whole).is_err());
        assert!(judge(&Counts { passed: TESTS_FLOOR, filtered_out: 1, ..Counts::default() }, &whole).is_err());
        let only = ["retry".to_owned()];
        let some = Selection { only: &only, skip: &[] };
        assert!(judge(&Counts { passed: 1, filtered_out: 99, ..Counts::default() }, &some).is_ok());
        assert!(judge(&Counts { filtered_out: 100, ..Counts::default() }, &some).is_err());
    }
}
