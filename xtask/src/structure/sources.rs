//! What may stand where in the code: rules that no manifest can prove.

use super::Finding;
use super::lexer::{Lexed, lex, line_of};
use crate::workspace::{Workspace, root};
use std::io;
use std::path::Path;

/// A Rust file of ours.
#[derive(Debug)]
pub(super) struct Source {
    /// From the workspace's folder, with `/`.
    path: String,
    lines: usize,
    lexed: Lexed,
}

/// From here on a file is asked which second idea lives in it.
const LINES_MAX: usize = 600;

/// A word that belongs somewhere, and may stand nowhere else.
struct Word {
    rule: &'static str,
    word: &'static str,
    /// Folders or files where it is looked for; everywhere if empty.
    within: &'static [&'static str],
    /// Folders or files where it belongs.
    home: &'static [&'static str],
    message: &'static str,
}

const CORE: &[&str] = &["core/src/"];
/// The simulated store is as deterministic as what it is simulated for.
const SIMULATED: &[&str] = &["io-sim/src/"];
const NO_CLOCK: &str = "time enters the core only as an argument";
const NO_HASH_ORDER: &str = "the order of a hash map differs from run to run: use BTreeMap, a slab or an index map";
const NO_IO: &str = "the core does no IO and never waits";
const ENVIRONMENT: &[&str] = &["daemon/src/config/", "daemon/src/config.rs"];
const SETTINGS: &str = "environment variables are read in daemon/src/config, and settings are passed on as values";

const WORDS: &[Word] = &[
    Word {
        rule: "axum-home",
        word: "axum",
        within: &[],
        home: &["daemon/src/http/", "daemon/src/http.rs", "daemon/src/server/", "daemon/src/server.rs"],
        message: "axum's types stay in daemon/src/http",
    },
    Word { rule: "core-clock", word: "std::time", within: CORE, home: &[], message: NO_CLOCK },
    Word { rule: "core-clock", word: "SystemTime", within: CORE, home: &[], message: NO_CLOCK },
    Word { rule: "core-clock", word: "Instant", within: CORE, home: &[], message: NO_CLOCK },
    Word { rule: "core-order", word: "HashMap", within: CORE, home: &[], message: NO_HASH_ORDER },
    Word { rule: "core-order", word: "HashSet", within: CORE, home: &[], message: NO_HASH_ORDER },
    Word { rule: "core-order", word: "HashMap", within: SIMULATED, home: &[], message: NO_HASH_ORDER },
    Word { rule: "core-order", word: "HashSet", within: SIMULATED, home: &[], message: NO_HASH_ORDER },
    Word { rule: "core-io", word: "std::fs", within: CORE, home: &[], message: NO_IO },
    Word { rule: "core-io", word: "std::net", within: CORE, home: &[], message: NO_IO },
    Word { rule: "core-io", word: "std::thread", within: CORE, home: &[], message: NO_IO },
    Word { rule: "core-io", word: "async", within: CORE, home: &[], message: NO_IO },
    Word { rule: "environment", word: "env::var", within: &[], home: ENVIRONMENT, message: SETTINGS },
    Word { rule: "environment", word: "env::vars", within: &[], home: ENVIRONMENT, message: SETTINGS },
    Word { rule: "environment", word: "env::var_os", within: &[], home: ENVIRONMENT, message: SETTINGS },
    Word { rule: "environment", word: "env::vars_os", within: &[], home: ENVIRONMENT, message: SETTINGS },
    Word {
        rule: "event-ids",
        word: "now_v7",
        within: &[],
        home: &["io-postgres/src/", "io-sqlite/src/"],
        message: "ids are made by the store, which is authoritative for them",
    },
    Word {
        rule: "no-unwrap",
        word: ".unwrap",
        within: &[],
        home: &[],
        message: "`expect` states the invariant that makes it safe",
    },
];

/// All Rust files of our crates, but for tests and for what is only there to test or to automate.
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
            // A crate below a crate is a member itself.
            if !path.join("Cargo.toml").exists() && !path.ends_with("target") {
                collect(&path, sources)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path)?;
            let relative = path.strip_prefix(root()).unwrap_or(&path);
            let words: Vec<_> = relative.iter().map(|word| word.to_string_lossy()).collect();
            sources.push(Source { path: words.join("/"), lines: text.lines().count(), lexed: lex(&text) });
        }
    }
    Ok(())
}

/// What breaks a rule.
pub(super) fn findings(sources: &[Source]) -> Vec<Finding> {
    let product = sources.iter().filter(|source| !is_for_tests(&source.path));
    product.flat_map(|source| words(source).into_iter().chain(sql(source)).chain(selects(source))).collect()
}

/// Each file that is too long for one idea.
pub(super) fn long_files(sources: &[Source]) -> impl Iterator<Item = String> {
    let long = sources.iter().filter(|source| source.lines > LINES_MAX);
    long.map(|source| format!("{} has {} lines: which second idea lives there?", source.path, source.lines))
}

fn is_for_tests(path: &str) -> bool {
    let tools = ["xtask/", "testkit/", "io-conformance/", "sim-tests/", "bench/"];
    path.split('/').any(|word| matches!(word, "tests" | "benches" | "examples" | "tests.rs"))
        || tools.iter().any(|tool| path.starts_with(tool))
}

fn words(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rule in WORDS {
        let is_in = |places: &[&str]| places.iter().any(|place| source.path.starts_with(place));
        if is_in(rule.home) || !(rule.within.is_empty() || is_in(rule.within)) {
            continue;
        }
        for at in occurrences(&source.lexed.code, rule.word) {
            let message = format!("`{}`: {}", rule.word, rule.message);
            findings.push(source.finding(rule.rule, line_of(&source.lexed.code, at), message));
        }
    }
    findings
}

/// SQL belongs into files of its own, `io-*/src/sql` and `migrations`, where it can be read, explained and compared.
fn sql(source: &Source) -> Vec<Finding> {
    let strings = source.lexed.strings.iter().filter(|(_, content)| is_sql(content));
    let message = "SQL belongs into a file of io-*/src/sql, named for what it does";
    strings.map(|(line, _)| source.finding("sql-home", *line, message.to_owned())).collect()
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

/// A `select!` without `biased` looks at its branches in random order: no run could be repeated.
fn selects(source: &Source) -> Vec<Finding> {
    let code = &source.lexed.code;
    let unbiased = occurrences(code, "select!").filter(|&at| {
        let body = code[at..].split_once(['{', '(']).map_or("", |(_, body)| body);
        !body.trim_start().starts_with("biased")
    });
    let message = "a `select!` begins with `biased;`, its branches in the order of their importance";
    unbiased.map(|at| source.finding("biased-select", line_of(code, at), message.to_owned())).collect()
}

/// Where `word` stands as a word of its own.
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
        Finding { rule, place: self.path.clone(), line: Some(line), message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<(&'static str, usize)> {
        let source = Source { path: path.to_owned(), lines: text.lines().count(), lexed: lex(text) };
        findings(&[source]).into_iter().map(|finding| (finding.rule, finding.line.unwrap())).collect()
    }

    #[test]
    fn a_word_is_found_where_it_does_not_belong() {
        for (path, text, expected) in [
            ("daemon/src/http/kv.rs", "use axum::Router;", None),
            ("daemon/src/cli/kv.rs", "\nuse axum::Router;", Some(("axum-home", 2))),
            ("core/src/time.rs", "use std::time::Duration;", Some(("core-clock", 1))),
            ("core/src/time.rs", "// std::time\n\"Instant\"; instant; InstantLike", None),
            ("driver/src/run.rs", "use std::time::Instant; async fn f() {}", None),
            ("core/src/lanes.rs", "let x: HashMap<u8, u8>;", Some(("core-order", 1))),
            ("core/src/lanes.rs", "async fn f() {}", Some(("core-io", 1))),
            ("io-sqlite/src/lib.rs", "std::env::var_os(\"HOME\")", Some(("environment", 1))),
            ("daemon/src/config/read.rs", "std::env::vars()", None),
            ("daemon/tests/it/main.rs", "std::env::var(\"X\").unwrap()", None),
            ("driver/src/run.rs", "Uuid::now_v7()", Some(("event-ids", 1))),
            ("io-postgres/src/kv.rs", "Uuid::now_v7()", None),
            ("driver/src/run.rs", "x.unwrap()", Some(("no-unwrap", 1))),
            ("driver/src/run.rs", "x.unwrap_or_default()", None),
            ("driver/src/run.rs", "#[cfg(test)]\nmod tests { fn f() { x.unwrap() } }", None),
        ] {
            assert_eq!(rules(path, text), Vec::from_iter(expected), "{path}: {text}");
        }
    }

    #[test]
    fn sql_is_told_from_words_for_people() {
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
    fn a_select_begins_with_biased() {
        let check =
            |text: &str, expected: usize| assert_eq!(rules("driver/src/run.rs", text).len(), expected, "{text}");
        check("tokio::select! {\n  // why\n  biased;\n  x = y => {}\n}", 0);
        check("tokio::select! { x = y => {} }", 1);
        check("select! { x = biased => {} }", 1);
        check("select_biased! { x = y => {} }", 0);
    }
}
