//! GLOB matches as the patterns of the core do, for every text that can be a name.
//!
//! Each case is one deployment and one emission, and compares many patterns with many texts.

use crate::app::{App, event, on_app};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;
use tidegate_core::{Pattern, TriggerSpec};
use tidegate_io_sqlite::{SqliteOptions, SqliteStore};
use tidegate_ports::TriggerStore;

/// Characters that are special in GLOB, LIKE or JSON, letters that differ in case, one character of
/// each length in UTF-8, a letter and its decomposed form, noncharacters, and the replacement
/// character.
const ALPHABET: &str =
    "ab A*?[]^-!\\%_'\"{}/é\u{e9}e\u{301}ß\u{800}\u{d7ff}\u{e000}\u{fffd}\u{fffe}\u{ffff}😀\u{10fffe}\u{10ffff}";

fn char_of_alphabet() -> impl Strategy<Value = char> {
    prop_oneof![4 => prop::sample::select(ALPHABET.chars().collect::<Vec<_>>()), 1 => any::<char>()]
        .prop_filter("no name has control characters", |char| !char.is_control())
}

fn texts(len_max: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(char_of_alphabet(), 1..=len_max).prop_map(|chars| chars.into_iter().collect())
}

/// A text, and a pattern made from it: some runs of characters become stars, and some characters
/// become another character.
fn text_and_pattern() -> impl Strategy<Value = (String, String)> {
    let ops = prop::collection::vec(prop_oneof![6 => Just(0_u8), 2 => Just(1), 1 => Just(2)], 8);
    (texts(8), ops, char_of_alphabet()).prop_map(|(text, ops, other)| {
        let mut pattern = String::new();
        for (char, op) in text.chars().zip(ops) {
            match op {
                0 => pattern.push(char),
                1 if pattern.ends_with('*') => {}
                1 => pattern.push('*'),
                _ => pattern.push(other),
            }
        }
        (text, pattern)
    })
}

fn is_pattern(text: &str) -> bool {
    Pattern::new(text).is_ok()
}

#[test]
fn glob_matches_as_the_core_does() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    let directory = TempDir::new().expect("a temporary directory is created");
    let open = SqliteStore::open(directory.path().join("t.db"), SqliteOptions::default());
    let store = Arc::new(runtime.block_on(open).expect("the file opens"));
    let (cases, compared, matched) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));

    let pairs = prop::collection::vec(text_and_pattern(), 1..40);
    let case = |pairs: Vec<(String, String)>| {
        // A new app for each case, so that the triggers of earlier cases match nothing.
        let app = App::on(&store, &format!("a{}", cases.fetch_add(1, Ordering::Relaxed)));
        let counts = runtime.block_on(compare(&app, &pairs))?;
        compared.fetch_add(counts.0, Ordering::Relaxed);
        matched.fetch_add(counts.1, Ordering::Relaxed);
        Ok(())
    };
    let mut runner = TestRunner::new(Config { cases: 64, failure_persistence: None, ..Config::default() });
    runner.run(&pairs, case).expect("the store matches as the core does");

    let (compared, matched) = (compared.into_inner(), matched.into_inner());
    assert!(compared > 10_000 && matched * 100 > compared, "{matched} of {compared} matched");
}

/// GLOB reads U+FFFE and U+FFFF as U+FFFD.
#[tokio::test]
async fn noncharacters_and_the_replacement_character_are_distinct() {
    let directory = TempDir::new().expect("a temporary directory is created");
    let store =
        SqliteStore::open(directory.path().join("t.db"), SqliteOptions::default()).await.expect("the file opens");
    let app = App::on(&Arc::new(store), "orders");
    let chars = ["\u{fffd}", "\u{fffe}", "\u{ffff}"];
    let pairs: Vec<_> =
        chars.iter().flat_map(|first| chars.map(|second| (format!("a{first}b"), format!("*{second}b")))).collect();
    compare(&app, &pairs).await.expect("the store matches as the core does");
}

/// Compares every pattern with every text, as event types and as subjects. Returns the number of
/// comparisons and the number of matches.
async fn compare(app: &App, pairs: &[(String, String)]) -> Result<(usize, usize), TestCaseError> {
    let patterns: Vec<&String> = pairs.iter().map(|(_, pattern)| pattern).filter(|text| is_pattern(text)).collect();
    let spec = |(n, pattern): (usize, &&String)| -> [TriggerSpec; 2] {
        [on_app(&format!("type-{n}"), pattern, "*"), on_app(&format!("subject-{n}"), "*", pattern)]
    };
    app.deploy_triggers(patterns.iter().enumerate().flat_map(spec).collect()).await;
    let triggers = TriggerStore::list(&*app.store, &app.name).await.expect("the triggers are listed");

    let events = pairs.iter().map(|(text, _)| event(text, text)).collect();
    let emitted = app.emit_events(events).await;

    let mut matched = 0;
    for ((text, _), emitted) in pairs.iter().zip(&emitted) {
        for trigger in &triggers {
            let (kind, n) = trigger.spec.name.as_str().split_once('-').expect("the name has a kind and a number");
            let pattern = Pattern::new(patterns[n.parse::<usize>().expect("the name ends with a number")])
                .expect("a valid pattern");
            let (expected, actual) = (pattern.matches(text), emitted.lanes.contains(&trigger.id));
            prop_assert_eq!(actual, expected, "{} {:?} on {:?}", kind, pattern.as_str(), text);
            matched += usize::from(expected);
        }
    }
    Ok((pairs.len() * triggers.len(), matched))
}
