//! The rules of CONTRIBUTING.md that a program can check: the dependencies between crates, the
//! homes of HTTP and SQL, the length of functions, and plain prose.
//!
//! A place that may break a rule is in [`exceptions::EXCEPTIONS`] with its reason, and nowhere
//! else.

mod clippy_config;
mod dependencies;
mod exceptions;
mod plain_words;
mod sources;
mod sql_functions;
mod wasm;

use crate::prose;
use crate::steps::{Failure, StepResult};
use crate::workspace::{Workspace, tree_of};
use exceptions::{EXCEPTIONS, Exception};
use std::fmt;

/// One place that breaks one rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    rule: &'static str,
    /// A crate, or a file's path from the workspace's folder, with `/`.
    place: String,
    /// In that file, from 1.
    line: Option<usize>,
    /// An item in that file that an exception can name, such as `function exchange`.
    item: Option<String>,
    /// The problem, and the way to solve it.
    message: String,
}

impl Finding {
    fn new(rule: &'static str, place: &str, message: String) -> Self {
        Self { rule, place: place.to_owned(), line: None, item: None, message }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.place)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {} [{}]", self.message, self.rule)
    }
}

/// Checks all rules. The step fails if any place breaks one.
pub(crate) fn check(workspace: &Workspace) -> StepResult {
    let unreadable = |error: std::io::Error| Failure::new(error.to_string(), "make the files of the checkout readable");
    let mut findings = dependencies::findings(workspace, &tree_of(dependencies::CORE)?);
    findings.extend(clippy_config::findings(workspace).map_err(unreadable)?);
    let sources = sources::read(workspace).map_err(unreadable)?;
    findings.extend(sources::findings(&sources));
    for note in sources::long_files(&sources) {
        println!("note: {note}");
    }
    let prose = prose::read().map_err(unreadable)?;
    findings.extend(sql_functions::findings(&prose));
    findings.extend(plain_words::findings(&prose));
    let findings = without_exceptions(findings, EXCEPTIONS);
    if !findings.is_empty() {
        let lines: Vec<String> = findings.iter().map(|finding| format!("  {finding}")).collect();
        let summary = format!("{} places break the rules of the structure:\n{}", lines.len(), lines.join("\n"));
        return Err(Failure::new(summary, ADVICE));
    }
    let wasm = wasm::check_core()?;
    let (crates, files) = (workspace.members.len(), sources.len());
    Ok(format!("{crates} crates, {files} files, {} exceptions; {wasm}", EXCEPTIONS.len()))
}

const ADVICE: &str = "fix each place as its message says; CONTRIBUTING.md gives the reason for each rule. An exception \
                      goes to xtask/src/structure/exceptions.rs with its reason";

/// The findings that no exception covers, and one finding for each exception that covers nothing.
fn without_exceptions(findings: Vec<Finding>, exceptions: &[Exception]) -> Vec<Finding> {
    let covers = |exception: &Exception, finding: &Finding| {
        let is_there = exception.place == finding.place || finding.item.as_deref() == Some(exception.place);
        exception.rule == finding.rule && is_there
    };
    let stale = exceptions.iter().filter(|exception| !findings.iter().any(|finding| covers(exception, finding)));
    let stale: Vec<Finding> = stale
        .map(|exception| {
            let message = format!("no finding needs this exception any longer ({}): delete it", exception.reason);
            Finding::new(exception.rule, exception.place, message)
        })
        .collect();
    let mut left: Vec<Finding> = findings
        .into_iter()
        .filter(|finding| !exceptions.iter().any(|exception| covers(exception, finding)))
        .chain(stale)
        .collect();
    left.sort_by(|a, b| (&a.place, a.line, a.rule).cmp(&(&b.place, b.line, b.rule)));
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(rule: &'static str, place: &str) -> Finding {
        Finding { line: Some(3), ..Finding::new(rule, place, "SQL".to_owned()) }
    }

    #[test]
    fn an_exception_covers_its_rule_in_its_place_and_must_cover_something() {
        let exceptions = [
            Exception { rule: "sql", place: "a.rs", reason: "a test" },
            Exception { rule: "length", place: "function f", reason: "a test" },
            Exception { rule: "sql", place: "gone.rs", reason: "a test" },
        ];
        let function = Finding { item: Some("function f".to_owned()), ..finding("length", "a.sql") };
        let findings = vec![finding("sql", "a.rs"), finding("env", "a.rs"), function];
        let left = without_exceptions(findings, &exceptions);
        let lines: Vec<String> = left.iter().map(ToString::to_string).collect();
        let stale = "gone.rs: no finding needs this exception any longer (a test): delete it [sql]";
        assert_eq!(lines, ["a.rs:3: SQL [env]", stale]);
    }
}
