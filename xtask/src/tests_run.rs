//! `cargo test` for the whole workspace, in one invocation, and a count of what it really ran.

use crate::steps::{Failure, StepResult};
use crate::workspace::{cargo, show};
use std::io::{BufRead as _, BufReader, IsTerminal as _};
use std::process::{ExitStatus, Stdio};

/// Fewer tests than this are a suite that has vanished. Raise it as tests are added; never lower it without saying why.
const TESTS_FLOOR: u32 = 700;

/// Which tests.
#[derive(Debug, Default)]
pub(crate) struct Selection<'a> {
    /// Only those whose path contains one of these; all if empty.
    pub(crate) only: &'a [String],
    /// None whose path contains one of these.
    pub(crate) skip: &'a [&'a str],
}

/// What the test binaries' own summaries add up to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    binaries: u32,
    passed: u32,
    failed: u32,
    ignored: u32,
    filtered_out: u32,
}

/// Runs them. `env` is set for the tests.
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
        let advice = "the failing test is named above; `cargo xtask test NAME` runs it alone. If cargo says that the lock \
                      file needs an update, run `cargo check` and commit Cargo.lock";
        return Err(Failure::new(format!("`{line}`: {status}"), advice));
    }
    judge(&counts, selection)
}

fn stream(command: &mut std::process::Command) -> std::io::Result<(Counts, ExitStatus)> {
    let mut child = command.spawn()?;
    let mut counts = Counts::default();
    let output = child.stdout.take().expect("it was asked to be piped");
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
        let what = format!("only {ran} tests ran; there were at least {TESTS_FLOOR} before");
        return Err(Failure::new(what, "find the suite that is gone; the floor is in xtask/src/tests_run.rs"));
    }
    if is_whole && counts.ignored + counts.filtered_out > 0 {
        let what = format!("{} tests ignored, {} filtered out", counts.ignored, counts.filtered_out);
        return Err(Failure::new(what, "mend or delete a test that is not to run; none may skip itself"));
    }
    if !selection.only.is_empty() && ran == 0 {
        return Err(Failure::new("no test has such a name", "a filter is a part of a test's path, such as `retry::`"));
    }
    Ok(format!("{ran} tests in {} binaries", counts.binaries))
}

impl Counts {
    /// Adds a line such as `test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out; finished in 0.01s`.
    fn add(&mut self, line: &str) {
        let Some((_, summary)) = line.split_once("test result: ") else { return };
        // Colours surround the verdict; what follows it is plain.
        let Some((_, numbers)) = summary.split_once(". ") else { return };
        self.binaries += 1;
        for part in numbers.split("; ") {
            let Some((number, what)) = part.split_once(' ') else { continue };
            let Ok(number) = number.parse::<u32>() else { continue };
            match what {
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
    fn a_vanished_suite_and_a_skipped_test_are_noticed() {
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
