//! The store's matching is the core's: random triggers and random events, compared in bulk.
//!
//! Patterns and texts are made of the same pieces: what the SQL dialects' own patterns give a meaning to, alone and in
//! groups, letters that differ only in case, and characters longer than one byte.

use crate::Store;
use crate::support::*;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeSet;
use std::sync::Arc;
use tidegate_core::{
    DeadReason, Event, EventId, EventType, Json, KvOps, Match, Source, Subject, Timestamp, Trigger, TriggerId, Verdict,
    matching,
};

const PIECES: [&str; 27] = [
    "a", "b", "ab", "A", "-", "/", "é", "😀", "\u{fffd}", "\u{fffe}", "\u{ffff}", "%", "_", "?", "[", "]", "\\", "^",
    "[a]", "[a-b]", "[^a]", "[!b]", "[]", "\\%", "\\_", "\\a", "\\\\",
];

/// What matches any one character or any text in one dialect or the other.
const WILD: [&str; 3] = ["?", "_", "%"];

/// One to three pieces.
fn texts() -> impl Strategy<Value = String> {
    collection_of(1..=3, select(PIECES.to_vec()))
}

/// One to four pieces, many of them a `*`.
fn patterns() -> impl Strategy<Value = String> {
    collection_of(1..=4, prop_oneof![4 => Just("*"), 2 => select(PIECES.to_vec()), 1 => select(WILD.to_vec())])
}

fn collection_of(
    count: std::ops::RangeInclusive<usize>,
    pieces: impl Strategy<Value = &'static str>,
) -> impl Strategy<Value = String> {
    proptest::collection::vec(pieces, count).prop_map(|pieces| pieces.concat())
}

/// A name, and what may be compared with it.
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
        event_type: EventType::new(event_type).expect("a type"),
        subject: Subject::new(subject).expect("a subject"),
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
    let mut lanes: Vec<_> = matching(event, triggers).map(|trigger| trigger.id).collect();
    lanes.sort();
    lanes
}

/// Counts the comparisons by their outcome, so that a run which only ever saw one of them fails.
#[derive(Default)]
struct Seen {
    matched: usize,
    compared: usize,
}

impl Seen {
    fn compare(&mut self, event: &Event, triggers: &[Trigger], actual: &[TriggerId]) {
        let expected = expected(event, triggers);
        if actual != expected {
            let differ: Vec<_> = triggers
                .iter()
                .filter(|trigger| actual.contains(&trigger.id) != expected.contains(&trigger.id))
                .map(|trigger| (&trigger.spec.rule, actual.contains(&trigger.id)))
                .collect();
            panic!("{} {:?}: the store differs on {differ:?}", event.event_type, event.subject.as_str());
        }
        self.matched += expected.len();
        self.compared += triggers.len();
    }

    fn assert_telling(&self) {
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

    let mut seen = Seen::default();
    for ((event_type, subject), emitted) in texts.iter().zip(&emitted) {
        seen.compare(&event(&app, Source::App, event_type, subject), &triggers, &woken(emitted));
    }
    seen.assert_telling();
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

    let mut seen = Seen::default();
    for (in_collection, at) in
        draw(120, &(WORDS, prop_oneof![9 => texts(), 1 => Just("*".to_owned())])).iter().collect::<BTreeSet<_>>()
    {
        let subject = format!("{in_collection}/{at}");
        let put = app.put(in_collection, at, "1").await;
        seen.compare(&event(&app, Source::Kv, "kv.set", &subject), &triggers, &woken(&put.emitted));
        let deleted = app.delete(in_collection, at).await.expect("it was put");
        seen.compare(&event(&app, Source::Kv, "kv.delete", &subject), &triggers, &woken(&deleted.emitted));
    }
    seen.assert_telling();
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
    let dying = app.exchange(Vec::new(), lanes).await.claimed;
    assert_eq!(dying.len(), names.len());

    let verdict = |row| Verdict::Dead {
        reason: DeadReason::HandlerMissing,
        attempts: 1,
        failed: None,
        fingerprint: format!("{row}"),
        disable_trigger: false,
    };
    let reply = app.exchange(dying.iter().map(|row| settlement(row, verdict(row.id))).collect(), Vec::new()).await;

    let rows = app.deliveries().await;
    let mut seen = Seen::default();
    let mut all = BTreeSet::new();
    for name in &names {
        let fired = rows.iter().filter(|row| row.event.subject.as_str() == name).map(|row| &row.trigger);
        let mut fired: Vec<_> = fired
            .map(|name| triggers.iter().find(|trigger| trigger.spec.name == *name).expect("its trigger").id)
            .collect();
        fired.sort();
        seen.compare(&event(&app, Source::DeadLetter, "dead_letter.created", name), &triggers, &fired);
        all.extend(fired);
    }
    seen.assert_telling();
    assert_eq!(reply.woken, all.into_iter().collect::<Vec<_>>());
}
