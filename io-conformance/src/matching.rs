//! The store matches events as the core does. Random triggers and random events are compared.
//!
//! Patterns and texts are made of the same pieces: characters that are special in the patterns of
//! an SQL dialect, alone and in groups, letters that differ only in case, and characters longer
//! than one byte.

use crate::Store;
use crate::support::*;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeSet;
use std::sync::Arc;
use tidegate_core::{
    DeadReason, Event, EventId, EventType, Json, KvOps, Match, Source, Subject, Timestamp, Trigger, TriggerId, Verdict,
    matching_triggers,
};

const PIECES: [&str; 27] = [
    "a", "b", "ab", "A", "-", "/", "é", "😀", "\u{fffd}", "\u{fffe}", "\u{ffff}", "%", "_", "?", "[", "]", "\\", "^",
    "[a]", "[a-b]", "[^a]", "[!b]", "[]", "\\%", "\\_", "\\a", "\\\\",
];

/// The wildcards of the SQL dialects, which are plain characters in Tidegate.
const WILD: [&str; 3] = ["?", "_", "%"];

/// One to three pieces.
fn texts() -> impl Strategy<Value = String> {
    collection_of(1..=3, select(PIECES.to_vec()))
}

/// One to four pieces, more than half of them `*`.
fn patterns() -> impl Strategy<Value = String> {
    collection_of(1..=4, prop_oneof![4 => Just("*"), 2 => select(PIECES.to_vec()), 1 => select(WILD.to_vec())])
}

fn collection_of(
    count: std::ops::RangeInclusive<usize>,
    pieces: impl Strategy<Value = &'static str>,
) -> impl Strategy<Value = String> {
    proptest::collection::vec(pieces, count).prop_map(|pieces| pieces.concat())
}

/// A regular expression for names of triggers and collections.
const WORDS: &str = r"[abA_-][abA._-]{0,3}";

fn word_patterns() -> impl Strategy<Value = String> {
    prop_oneof![WORDS, patterns(), r"\*[abA._-]\*", r"[abA_]\*", r"[abA*][?%_]", r"[?%_][abA*]"]
}

fn event(app: &App<impl Store>, source: Source, event_type: &str, subject: &str) -> Event {
    let id = EventId(uuid::Uuid::nil());
    Event {
        id,
        app: app.name.clone(),
        source,
        event_type: EventType::new(event_type).expect("a valid type"),
        subject: Subject::new(subject).expect("a valid subject"),
        time: Timestamp::EPOCH,
        data: Json::null(),
        actor: actor(),
        root_id: id,
        parent_id: None,
        depth: 0,
        traceparent: None,
    }
}

fn expected(event: &Event, triggers: &[Trigger]) -> Vec<TriggerId> {
    let mut lanes: Vec<_> = matching_triggers(event, triggers).map(|trigger| trigger.id).collect();
    lanes.sort();
    lanes
}

/// Counts matches and comparisons. A run in which nearly all or nearly no patterns match proves
/// little, and fails.
#[derive(Default)]
struct Comparisons {
    matched: usize,
    compared: usize,
}

impl Comparisons {
    fn compare(&mut self, event: &Event, triggers: &[Trigger], actual: &[TriggerId]) {
        let expected = expected(event, triggers);
        if actual != expected {
            let differ: Vec<_> = triggers
                .iter()
                .filter(|trigger| actual.contains(&trigger.id) != expected.contains(&trigger.id))
                .map(|trigger| (&trigger.spec.rule, actual.contains(&trigger.id)))
                .collect();
            panic!("{} {:?}: the store and the core differ on {differ:?}", event.event_type, event.subject.as_str());
        }
        self.matched += expected.len();
        self.compared += triggers.len();
    }

    fn assert_balanced(&self) {
        let share = self.matched as f64 / self.compared as f64;
        assert!((0.05..0.6).contains(&share), "{share} of {} comparisons matched", self.compared);
    }
}

pub(crate) async fn app_events_match_as_in_the_core<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let rules = draw(200, &(patterns(), patterns(), any::<bool>()));
    for (n, (types, subjects, any_subject)) in rules.iter().enumerate() {
        let subject = if *any_subject { pattern("*") } else { pattern(subjects) };
        app.trigger(&spec(&format!("t{n}"), Match::App { event_type: pattern(types), subject })).await;
    }
    let triggers = app.triggers().await;
    let texts = draw(300, &(texts(), prop_oneof![4 => texts(), 1 => Just(String::new())]));

    let emitted = app.emit(texts.iter().map(|(name, subject)| new_event(name, subject, "null")).collect()).await;

    let mut comparisons = Comparisons::default();
    for ((event_type, subject), emitted) in texts.iter().zip(&emitted) {
        comparisons.compare(&event(&app, Source::App, event_type, subject), &triggers, &woken(emitted));
    }
    comparisons.assert_balanced();
}

pub(crate) async fn kv_events_match_as_in_the_core<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let ops = prop_oneof![Just((true, false)), Just((false, true)), Just((true, true))];
    let rules = draw(150, &(ops, prop_oneof![Just("*".to_owned()), word_patterns()], patterns()));
    for (n, ((set, delete), collections, keys)) in rules.iter().enumerate() {
        let ops = KvOps { set: *set, delete: *delete };
        let rule = Match::Kv { ops, collection: pattern(collections), key: pattern(keys) };
        app.trigger(&spec(&format!("t{n}"), rule)).await;
    }
    let triggers = app.triggers().await;

    let mut comparisons = Comparisons::default();
    for (in_collection, at) in
        draw(120, &(WORDS, prop_oneof![9 => texts(), 1 => Just("*".to_owned())])).iter().collect::<BTreeSet<_>>()
    {
        let subject = format!("{in_collection}/{at}");
        let put = app.put(in_collection, at, "1").await;
        comparisons.compare(&event(&app, Source::Kv, "kv.set", &subject), &triggers, &woken(&put.emitted));
        let deleted = app.delete(in_collection, at).await.expect("the key has a value");
        comparisons.compare(&event(&app, Source::Kv, "kv.delete", &subject), &triggers, &woken(&deleted.emitted));
    }
    comparisons.assert_balanced();
}

pub(crate) async fn dead_letters_match_as_in_the_core<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let names: BTreeSet<_> = draw(60, &WORDS).into_iter().collect();
    for name in &names {
        app.trigger(&on_app(name, "go")).await;
    }
    for (n, names) in draw(60, &word_patterns()).iter().enumerate() {
        app.trigger(&on_dead_letter(&format!("handler{n}"), names)).await;
    }
    let triggers = app.triggers().await;
    app.go(1).await;
    let lanes = triggers.iter().map(|trigger| quota(trigger.id, 1)).collect();
    let rows_to_settle = app.exchange(Vec::new(), lanes).await.claimed;
    assert_eq!(rows_to_settle.len(), names.len());

    let verdict = |row| Verdict::Dead {
        reason: DeadReason::HandlerMissing,
        attempts: 1,
        failed: None,
        fingerprint: format!("{row}"),
        disable_trigger: false,
    };
    let reply =
        app.exchange(rows_to_settle.iter().map(|row| settlement(row, verdict(row.id))).collect(), Vec::new()).await;

    let rows = app.deliveries().await;
    let mut comparisons = Comparisons::default();
    let mut all = BTreeSet::new();
    for name in &names {
        let fired = rows.iter().filter(|row| row.event.subject.as_str() == name).map(|row| &row.trigger);
        let mut fired: Vec<_> = fired
            .map(|name| triggers.iter().find(|trigger| trigger.spec.name == *name).expect("the trigger exists").id)
            .collect();
        fired.sort();
        comparisons.compare(&event(&app, Source::DeadLetter, "dead_letter.created", name), &triggers, &fired);
        all.extend(fired);
    }
    comparisons.assert_balanced();
    assert_eq!(reply.woken, all.into_iter().collect::<Vec<_>>());
}
