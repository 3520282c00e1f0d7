//! A note about commit subjects that are too long or hold two changes. It never fails a run: a
//! pushed commit stays as it is.

use crate::steps::StepResult;
use crate::workspace::root;
use std::process::Command;

/// The most characters of a subject that `git log --oneline` shows in 80 columns.
const SUBJECT_MAX: usize = 72;
/// Without an upstream branch, the last commits along the first parents are read.
const COMMITS_MAX: usize = 50;
/// The most subjects to print.
const SHOWN_MAX: usize = 10;

/// Prints the subjects of this branch that are too long or hold two changes.
pub(crate) fn note() -> StepResult {
    let Some(subjects) = subjects("@{upstream}..HEAD").or_else(|| subjects("HEAD")) else {
        return Ok("no git history to read".to_owned());
    };
    let bad: Vec<(&String, &str)> = subjects.iter().filter_map(|subject| Some((subject, problem(subject)?))).collect();
    for (subject, problem) in bad.iter().take(SHOWN_MAX) {
        println!("note: {problem}: {subject}");
    }
    Ok(format!("{} of {} subjects are too long or hold two changes", bad.len(), subjects.len()))
}

fn subjects(range: &str) -> Option<Vec<String>> {
    let mut command = Command::new("git");
    command.current_dir(root()).args(["log", "--first-parent", "--no-merges", "--format=%s", range]);
    let output = command.arg(format!("--max-count={COMMITS_MAX}")).output().ok()?;
    let text = output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())?;
    Some(text.lines().map(str::to_owned).collect())
}

fn problem(subject: &str) -> Option<&'static str> {
    if subject.chars().count() > SUBJECT_MAX {
        Some("longer than 72 characters")
    } else if subject.contains(';') || subject.contains(" and ") {
        Some("two changes in one subject")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_short_and_holds_one_change() {
        for (subject, expected) in [
            ("core: count an attempt when it begins", None),
            ("core: expand the standard table", None),
            ("core: count attempts and drop leases", Some("two changes in one subject")),
            ("core: count attempts; drop leases", Some("two changes in one subject")),
            (&"x".repeat(72), None),
            (&"x".repeat(73), Some("longer than 72 characters")),
        ] {
            assert_eq!(problem(subject), expected, "{subject}");
        }
    }
}
