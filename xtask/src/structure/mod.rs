//! The rules of ARCHITECTURE.md that a machine can prove: who may depend on whom, and what may stand where.
//!
//! What breaks a rule with good reason is in [`exceptions::EXCEPTIONS`], each with that reason, and nowhere else.

mod dependencies;
mod exceptions;
mod lexer;
mod sources;
mod wasm;

use crate::steps::{Failure, StepResult};
use crate::workspace::{Workspace, tree_of};
use exceptions::{EXCEPTIONS, Exception};
use std::fmt;

/// One place that breaks one rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    /// The rule's name.
    rule: &'static str,
    /// A crate, or a file's path from the workspace's folder, with `/`.
    place: String,
    /// In that file, from 1.
    line: Option<usize>,
    /// What is wrong, and where it belongs.
    message: String,
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

/// The step.
pub(crate) fn check(workspace: &Workspace) -> StepResult {
    let mut findings = dependencies::findings(workspace, &tree_of(dependencies::CORE)?);
    let sources = sources::read(workspace).map_err(|error| Failure::new(error.to_string(), ADVICE))?;
    findings.extend(sources::findings(&sources));
    for note in sources::long_files(&sources) {
        println!("note: {note}");
    }
    let findings = without_exceptions(findings, EXCEPTIONS);
    if !findings.is_empty() {
        let lines: Vec<String> = findings.iter().map(|finding| format!("  {finding}")).collect();
        return Err(Failure::new(format!("the structure's rules are broken:\n{}", lines.join("\n")), ADVICE));
    }
    let wasm = wasm::check_core()?;
    let (crates, files) = (workspace.members.len(), sources.len());
    Ok(format!("{crates} crates, {files} files, {} exceptions; {wasm}", EXCEPTIONS.len()))
}

const ADVICE: &str = "move the code to where the rule wants it; CONTRIBUTING.md tells why each rule is. An exception goes \
                      into xtask/src/structure/exceptions.rs with its reason";

/// What no exception covers, and each exception that covers nothing: its reason is gone.
fn without_exceptions(findings: Vec<Finding>, exceptions: &[Exception]) -> Vec<Finding> {
    let covers =
        |exception: &Exception, finding: &Finding| exception.rule == finding.rule && exception.place == finding.place;
    let stale = exceptions.iter().filter(|exception| !findings.iter().any(|finding| covers(exception, finding)));
    let stale: Vec<Finding> = stale
        .map(|exception| Finding {
            rule: exception.rule,
            place: exception.place.to_owned(),
            line: None,
            message: format!("the exception ({}) is not needed any more", exception.reason),
        })
        .collect();
    let mut left: Vec<Finding> = findings
        .into_iter()
        .filter(|finding| !exceptions.iter().any(|exception| covers(exception, finding)))
        .chain(stale)
        .collect();
    left.sort();
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(rule: &'static str, place: &str) -> Finding {
        Finding { rule, place: place.to_owned(), line: Some(3), message: "SQL".to_owned() }
    }

    #[test]
    fn an_exception_covers_its_rule_in_its_place_and_must_cover_something() {
        let exceptions = [
            Exception { rule: "sql", place: "a.rs", reason: "it must" },
            Exception { rule: "sql", place: "gone.rs", reason: "it had to" },
        ];
        let left = without_exceptions(vec![finding("sql", "a.rs"), finding("env", "a.rs")], &exceptions);
        let lines: Vec<String> = left.iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["a.rs:3: SQL [env]", "gone.rs: the exception (it had to) is not needed any more [sql]"]);
    }
}
