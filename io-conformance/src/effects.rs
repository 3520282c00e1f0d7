//! Effects: the writes and events that a handler staged. The settlement of its delivery applies all
//! of them once, or none.

use crate::Store;
use crate::support::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use tidegate_core::{Delivery, Effects, Event, Source};

/// An app with the triggers `lane`, `writes` on all KV events and `events` on events of the type
/// `matched`, and a claimed row of `lane`.
pub(crate) async fn with_claimed_row<S: Store>(store: &Arc<S>) -> (App<S>, Delivery) {
    let (app, lane) = App::with_lane(store).await;
    app.trigger(&on_kv("writes", "*", "*")).await;
    app.trigger(&on_app("events", "matched")).await;
    app.go(1).await;
    let row = app.next(lane.id).await;
    (app, row)
}

/// The events whose parent is `parent`, in the order of emission.
async fn emitted_by<S: Store>(app: &App<S>, parent: &Event) -> Vec<Event> {
    let rows = app.deliveries().await.into_iter();
    rows.map(|row| row.event).filter(|event| event.parent_id == Some(parent.id)).collect()
}

pub(crate) async fn staged_writes_are_applied_and_fan_out<S: Store>(store: Arc<S>) {
    let (app, row) = with_claimed_row(&store).await;
    let value = r#"{"b": 1.50, "a":"ü"}"#;
    let effects = Effects { writes: vec![write("c", "new", Some(value))], ..Effects::default() };

    let reply = app.settle(&row, done_with(effects)).await;

    let entry = app.get("c", "new").await.expect("the key has a value");
    assert_eq!((entry.value.as_str(), entry.updated_at), (value, reply.now));
    let [event] = &emitted_by(&app, &row.event).await[..] else { panic!("not exactly one event was emitted") };
    let expected = Event {
        id: event.id,
        app: app.name.clone(),
        source: Source::Kv,
        event_type: new_event("kv.set", "", "null").event_type,
        subject: new_event("kv.set", "c/new", "null").subject,
        time: reply.now,
        data: event.data.clone(),
        actor: registrant(),
        root_id: row.event.root_id,
        parent_id: Some(row.event.id),
        depth: 1,
        traceparent: Some(TRACEPARENT.to_owned()),
    };
    assert_eq!(*event, expected);
    assert_eq!(kv_data(event), ("c".to_owned(), "new".to_owned(), value.to_owned(), entry.version));
    let writes = app.trigger_named("writes").await.expect("the trigger exists").id;
    assert_eq!((reply.woken, app.delivery(row.id).await), (vec![writes], None));
}

pub(crate) async fn staged_deletes_are_applied_and_fan_out<S: Store>(store: Arc<S>) {
    let (app, row) = with_claimed_row(&store).await;
    let put = app.put("c", "old", "1").await;
    let effects = Effects { writes: vec![write("c", "old", None), write("c", "absent", None)], ..Effects::default() };

    app.settle(&row, done_with(effects)).await;

    assert_eq!(app.get("c", "old").await, None);
    let [event] = &emitted_by(&app, &row.event).await[..] else {
        panic!("only the delete of the present key emits an event")
    };
    assert_eq!((event.event_type.as_str(), event.subject.as_str()), ("kv.delete", "c/old"));
    let (_, _, value, version) = kv_data(event);
    assert_eq!(value, "null");
    assert!(version > put.version, "{version:?} after {:?}", put.version);
}

pub(crate) async fn staged_events_are_emitted_in_order_after_the_writes<S: Store>(store: Arc<S>) {
    let (app, row) = with_claimed_row(&store).await;
    let data = r#"{"b": 1.50, "a":"ü"}"#;
    let effects = Effects {
        reads: Vec::new(),
        writes: vec![write("c", "a", Some("1"))],
        events: vec![
            new_event("matched", "first", data),
            new_event("unmatched", "", "null"),
            new_event("matched", "second", "2"),
        ],
    };

    let reply = app.settle(&row, done_with(effects)).await;

    let events = emitted_by(&app, &row.event).await;
    let subjects: Vec<_> = events.iter().map(|event| event.subject.as_str()).collect();
    assert_eq!(subjects, ["c/a", "first", "second"]);
    assert_eq!((events[1].data.as_str(), events[1].event_type.as_str()), (data, "matched"));
    assert_eq!(events.iter().map(|event| event.id).collect::<BTreeSet<_>>().len(), 3);
    for event in &events[1..] {
        assert_eq!((event.source, event.time, &event.app), (Source::App, reply.now, &app.name));
        assert_eq!((event.depth, event.root_id, &event.actor), (1, row.event.root_id, &registrant()));
        assert_eq!(event.traceparent.as_deref(), Some(TRACEPARENT));
    }
    let mut lanes = [app.trigger_named("writes").await, app.trigger_named("events").await]
        .map(|trigger| trigger.expect("the trigger exists").id);
    lanes.sort();
    assert_eq!(reply.woken, lanes);
}

pub(crate) async fn each_link_of_a_chain_adds_one_to_the_depth<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(1).await;
    let mut row = app.next(lane.id).await;
    let root = row.event.id;
    for depth in 1..=20 {
        let effects = Effects { events: vec![new_event("go", "", "null")], ..Effects::default() };
        app.settle(&row, done_with(effects)).await;
        let next = app.next(lane.id).await;
        assert_eq!((next.event.depth, next.event.root_id, next.event.parent_id), (depth, root, Some(row.event.id)));
        row = next;
    }
}

/// The exchange that applies effects can also claim the rows of the effects.
pub(crate) async fn rows_of_effects_are_claimed_in_the_same_exchange<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(1).await;
    let row = app.next(lane.id).await;
    let effects = Effects { events: vec![new_event("go", "next", "null")], ..Effects::default() };

    let reply = app.exchange(vec![settlement(&row, done_with(effects))], vec![quota(lane.id, 5)]).await;

    let subjects: Vec<_> = reply.claimed.iter().map(|row| row.event.subject.as_str()).collect();
    assert_eq!(subjects, ["next"]);
}

pub(crate) async fn the_last_of_several_blind_writes_wins<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.trigger(&on_kv("writes", "c", "*")).await;
    app.go(3).await;
    let rows = app.claim(lane.id, 3).await;
    app.put("c", "k", "0").await;
    let writing = |value| done_with(Effects { writes: vec![write("c", "k", value)], ..Effects::default() });
    let settle = vec![
        settlement(&rows[0], writing(Some("1"))),
        settlement(&rows[1], writing(None)),
        settlement(&rows[2], writing(Some("3"))),
    ];

    let reply = app.exchange(settle, Vec::new()).await;

    assert_eq!((reply.fenced, reply.conflicted), (vec![], vec![]));
    let entry = app.get("c", "k").await.expect("the key has a value");
    assert_eq!(entry.value.as_str(), "3");
    let mut events = Vec::new();
    for row in &rows {
        events.extend(emitted_by(&app, &row.event).await);
    }
    let types: Vec<_> = events.iter().map(|event| event.event_type.as_str()).collect();
    assert_eq!(types, ["kv.set", "kv.delete", "kv.set"]);
    let versions: Vec<_> = events.iter().map(|event| kv_data(event).3).collect();
    assert!(versions.is_sorted_by(|one, next| one < next), "{versions:?}");
    assert_eq!(versions[2], entry.version);
}

/// A handler writes to its own app, even if another app has the same key.
pub(crate) async fn effects_stay_within_their_app<S: Store>(store: Arc<S>) {
    let (app, row) = with_claimed_row(&store).await;
    let other = App::named(&store, "other").await;
    other.trigger(&on_kv("writes", "*", "*")).await;
    other.put("c", "k", "1").await;
    let before = other.snapshot().await;
    let effects =
        Effects { reads: vec![read("c", "k", None)], writes: vec![write("c", "k", Some("2"))], events: Vec::new() };

    app.settle(&row, done_with(effects)).await;

    assert_eq!(app.value("c", "k").await.as_deref(), Some("2"));
    assert_eq!(other.snapshot().await, before);
}

pub(crate) async fn many_effects_are_applied_together<S: Store>(store: Arc<S>) {
    let (app, row) = with_claimed_row(&store).await;
    let effects = Effects {
        reads: (0..100).map(|n| read("c", &format!("k{n:03}"), None)).collect(),
        writes: (0..100).map(|n| write("c", &format!("k{n:03}"), Some(&n.to_string()))).collect(),
        events: (0..50).map(|n| new_event("matched", &n.to_string(), "null")).collect(),
    };

    app.settle(&row, done_with(effects)).await;

    let values: Vec<_> = app.entries("c").await.iter().map(|entry| entry.value.to_string()).collect();
    assert_eq!(values, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
    let events = emitted_by(&app, &row.event).await;
    let subjects: Vec<_> = events.iter().skip(100).map(|event| event.subject.to_string()).collect();
    assert_eq!(subjects, (0..50).map(|n| n.to_string()).collect::<Vec<_>>());
}
