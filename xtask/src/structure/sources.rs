//! Rules about the text of Rust files: paths of whole modules, macros and SQL in strings. Clippy
//! checks types and functions; see `clippy_config.rs`.

use super::Finding;
use crate::rust_text::{RustText, lex, line_of};
use crate::workspace::{Workspace, root};
use std::io;
use std::path::Path;

/// A Rust file of the workspace.
#[derive(Debug)]
pub(super) struct Source {
    /// From the workspace's folder, with `/`.
    path: String,
    lines: usize,
    text: RustText,
}

/// A longer file is reported: it probably holds a second idea.
const LINES_MAX: usize = 600;

/// Crates that test or automate. The rules for the product do not apply to them.
pub(super) const TOOLS: &[&str] = &["xtask", "testkit", "io-conformance", "sim-tests", "bench", "torture"];

/// A word that only some files may contain.
struct Word {
    rule: &'static str,
    word: &'static str,
    /// Path prefixes of the files to check. All files are checked if it is empty.
    within: &'static [&'static str],
    /// Path prefixes of the files that may contain the word.
    home: &'static [&'static str],
    message: &'static str,
}

const CORE: &[&str] = &["core/src/"];
const NO_CLOCK: &str = "time enters the core only as an argument";
const NO_IO: &str = "the core does no IO and never waits";

const WORDS: &[Word] = &[
    Word {
        rule: "axum-home",
        word: "axum",
        within: &[],
        home: &["daemon/src/http/", "daemon/src/http.rs", "daemon/src/server/", "daemon/src/server.rs"],
        message: "axum's types stay in daemon/src/http and daemon/src/server",
    },
    Word { rule: "core-clock", word: "std::time", within: CORE, home: &[], message: NO_CLOCK },
    Word { rule: "core-io", word: "std::fs", within: CORE, home: &[], message: NO_IO },
    Word { rule: "core-io", word: "std::net", within: CORE, home: &[], message: NO_IO },
    Word { rule: "core-io", word: "std::thread", within: CORE, home: &[], message: NO_IO },
    Word { rule: "core-io", word: "async", within: CORE, home: &[], message: NO_IO },
];

/// Reads all Rust files of the workspace.
pub(super) fn read(workspace: &Workspace) -> io::Result<Vec<Source>> {
    let mut sources = Vec::new();
    for package in workspace.our_crates() {
        collect(&package.folder, &mut sources)?;
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

fn collect(folder: &Path, sources: &mut Vec<Source>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            // A crate in the folder of another one is a member itself, or is not built with the
            // workspace.
            if !path.join("Cargo.toml").exists() && !path.ends_with("target") {
                collect(&path, sources)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path)?;
            let relative = path.strip_prefix(root()).unwrap_or(&path);
            let words: Vec<_> = relative.iter().map(|word| word.to_string_lossy()).collect();
            sources.push(Source { path: words.join("/"), lines: text.lines().count(), text: lex(&text) });
        }
    }
    Ok(())
}

/// The places in the product that break a rule.
pub(super) fn findings(sources: &[Source]) -> Vec<Finding> {
    let product = sources.iter().filter(|source| !is_for_tests(&source.path));
    product
        .flat_map(|source| {
            words(source).into_iter().chain(sql(source)).chain(selects(source)).chain(silenced_lints(source))
        })
        .collect()
}

/// One sentence for each file that is too long for one idea.
pub(super) fn long_files(sources: &[Source]) -> impl Iterator<Item = String> {
    let long = sources.iter().filter(|source| source.lines > LINES_MAX);
    long.map(|source| format!("{} has {} lines; a file holds one idea", source.path, source.lines))
}

fn is_for_tests(path: &str) -> bool {
    let is_tool = path.split_once('/').is_some_and(|(folder, _)| TOOLS.contains(&folder));
    is_tool || path.split('/').any(|part| matches!(part, "tests" | "benches" | "examples" | "tests.rs"))
}

fn words(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rule in WORDS {
        let is_in = |places: &[&str]| places.iter().any(|place| source.path.starts_with(place));
        if is_in(rule.home) || !(rule.within.is_empty() || is_in(rule.within)) {
            continue;
        }
        for at in occurrences(&source.text.code, rule.word) {
            let message = format!("`{}`: {}", rule.word, rule.message);
            findings.push(source.finding(rule.rule, line_of(&source.text.code, at), message));
        }
    }
    findings
}

/// Clippy checks some rules of the structure. A place that silences it needs an exception here.
fn silenced_lints(source: &Source) -> Vec<Finding> {
    let lints = ["clippy::disallowed_methods", "clippy::disallowed_types", "clippy::unwrap_used"];
    let places = lints.iter().flat_map(|lint| occurrences(&source.text.code, lint).map(move |at| (*lint, at)));
    places
        .map(|(lint, at)| {
            let message = format!("`{lint}` checks a rule of the structure; product code must not silence it");
            source.finding("silenced-lint", line_of(&source.text.code, at), message)
        })
        .collect()
}

/// A statement is a file of `io-*/src/sql` or `migrations`, so that it can be read, explained and
/// compared.
fn sql(source: &Source) -> Vec<Finding> {
    let strings = source.text.strings.iter().filter(|string| !string.in_test && is_sql(&string.content));
    let message = "move the SQL to a file of io-*/src/sql that is named after its purpose";
    strings.map(|string| source.finding("sql-home", string.line, message.to_owned())).collect()
}

fn is_sql(content: &str) -> bool {
    let words = content.to_lowercase();
    let text = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let begins = |starts: &[&str]| starts.iter().any(|start| text.starts_with(start));
    let has = |part: &str| text.contains(part);
    begins(&[
        "insert into ",
        "delete from ",
        "alter table ",
        "drop table ",
        "truncate ",
        "pragma ",
        "vacuum",
        "begin immediate",
    ]) || begins(&["create table ", "create index ", "create unique index ", "create schema ", "create database "])
        || begins(&["create function ", "create or replace ", "drop schema ", "drop database ", "drop index "])
        || begins(&["listen ", "notify ", "lock table ", "set local ", "set transaction ", "explain "])
        || (begins(&["select "]) && (has(" from ") || has("(") || has("$1") || text == "select 1"))
        || (begins(&["update "]) && has(" set "))
        || (begins(&["with "]) && has(" as ("))
        || (has("select ") && has(" from ") && has(" where "))
}

/// A `select!` without `biased` polls its branches in random order, so that no run can be repeated.
fn selects(source: &Source) -> Vec<Finding> {
    let code = &source.text.code;
    let unbiased = occurrences(code, "select!").filter(|&at| {
        let body = code[at..].split_once(['{', '(']).map_or("", |(_, body)| body);
        !body.trim_start().starts_with("biased")
    });
    let message = "a `select!` begins with `biased;`, its branches in the order of their importance";
    unbiased.map(|at| source.finding("biased-select", line_of(code, at), message.to_owned())).collect()
}

/// The byte offsets of `word` as a whole word.
fn occurrences(code: &str, word: &str) -> impl Iterator<Item = usize> {
    let is_part = |char: char| char.is_alphanumeric() || char == '_';
    let open_start = word.starts_with(is_part);
    let open_end = word.ends_with(is_part);
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = code[..at].chars().next_back().is_some_and(is_part);
        let after = code[at + word.len()..].chars().next().is_some_and(is_part);
        !(open_start && before || open_end && after)
    })
}

impl Source {
    fn finding(&self, rule: &'static str, line: usize, message: String) -> Finding {
        Finding { line: Some(line), ..Finding::new(rule, &self.path, message) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<(&'static str, usize)> {
        let source = Source { path: path.to_owned(), lines: text.lines().count(), text: lex(text) };
        findings(&[source]).into_iter().map(|finding| (finding.rule, finding.line.unwrap())).collect()
    }

    #[test]
    fn a_word_is_found_outside_its_home() {
        for (path, text, expected) in [
            ("daemon/src/http/kv.rs", "use axum::Router;", None),
            ("daemon/src/cli/kv.rs", "\nuse axum::Router;", Some(("axum-home", 2))),
            ("core/src/time.rs", "use std::time::Duration;", Some(("core-clock", 1))),
            ("core/src/time.rs", "// std::time\n\"Instant\"; instant; InstantLike", None),
            ("driver/src/run.rs", "use std::time::Instant; async fn f() {}", None),
            ("core/src/lanes.rs", "async fn f() {}", Some(("core-io", 1))),
            ("core/src/lanes.rs", "#[cfg(test)]\nmod tests { use std::fs; }", None),
            ("core/tests/it/world.rs", "use std::fs;", None),
            ("bench/src/sql.rs", "use axum::Router;", None),
        ] {
            assert_eq!(rules(path, text), Vec::from_iter(expected), "{path}: {text}");
        }
    }

    #[test]
    fn sql_is_distinguished_from_messages() {
        for (content, expected) in [
            ("select id\n  from outbox", true),
            ("SELECT pg_advisory_lock($1)", true),
            ("select 1", true),
            ("update kv set value = $1", true),
            ("with due as (select 1)", true),
            ("pragma journal_mode = wal", true),
            ("listen tidegate", true),
            ("CREATE TABLE x (y int)", true),
            ("explain select 1", true),
            ("select a trigger", false),
            ("update the lock file", false),
            ("with an app", false),
            ("deleted from the outbox", false),
            ("listening on {address}", false),
            ("", false),
        ] {
            assert_eq!(is_sql(content), expected, "{content}");
        }
        assert_eq!(rules("io-sqlite/src/kv.rs", "let x = 1;\nquery(\"delete from kv\")"), [("sql-home", 2)]);
    }

    #[test]
    fn a_silenced_rule_of_clippy_is_found() {
        let text = "#[expect(clippy::disallowed_methods, reason = \"x\")]\nfn f() {}";
        assert_eq!(rules("driver/src/run.rs", text), [("silenced-lint", 1)]);
        assert_eq!(rules("driver/tests/it/main.rs", text), []);
    }

    #[test]
    fn a_select_begins_with_biased() {
        let check =
            |text: &str, expected: usize| assert_eq!(rules("driver/src/run.rs", text).len(), expected, "{text}");
        check("tokio::select! {\n  // why\n  biased;\n  x = y => {}\n}", 0);
        check("tokio::select! { x = y => {} }", 1);
        check("select! { x = biased => {} }", 1);
        check("select_biased! { x = y => {} }", 0);
    }
}
