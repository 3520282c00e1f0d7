//! Effects: the writes and events that a handler staged. The settlement of its delivery applies all
//! of them once, or none.

use crate::Store;
use crate::support::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use tidegate_core::{Delivery, Effects, Event, Source, Verdict};

/// An app with the triggers `lane`, `writes` on all KV events and `events` on events of the type
/// `matched`, and a claimed row of `lane`.
async fn with_claimed_row<S: Store>(store: &Arc<S>) -> (App<S>, Delivery) {
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

/// The exchange that applies effects can also claim the rows that they make.
pub(crate) async fn rows_of_effects_are_claimed_in_the_same_exchange<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(1).await;
    let row = app.next(lane.id).await;
    let effects = Effects { events: vec![new_event("go", "next", "null")], ..Effects::default() };

    let reply = app.exchange(vec![settlement(&row, done_with(effects))], vec![quota(lane.id, 5)]).await;

    let subjects: Vec<_> = reply.claimed.iter().map(|row| row.event.subject.as_str()).collect();
    assert_eq!(subjects, ["next"]);
}

pub(crate) async fn effects_with_current_reads_are_applied<S: Store>(store: Arc<S>) {
    let (app, row) = with_claimed_row(&store).await;
    let version = app.put("c", "there", "1").await.version;
    let effects = Effects {
        reads: vec![read("c", "there", Some(version)), read("c", "absent", None)],
        writes: vec![write("c", "there", Some("2")), write("c", "absent", Some("3"))],
        events: Vec::new(),
    };

    app.settle(&row, done_with(effects)).await;

    assert_eq!(app.value("c", "there").await.as_deref(), Some("2"));
    assert_eq!(app.value("c", "absent").await.as_deref(), Some("3"));
}

/// Settles `row` with effects that read `version` of the key `read`. Checks that they conflict and
/// that nothing changes.
async fn assert_conflict<S: Store>(app: &App<S>, row: &Delivery, version: Option<tidegate_core::Version>) {
    let effects = Effects {
        reads: vec![read("c", "unread", None), read("c", "read", version)],
        writes: vec![write("c", "written", Some("1"))],
        events: vec![new_event("matched", "", "null")],
    };
    let before = app.snapshot().await;
    let reply = app.try_settle(row, done_with(effects)).await;
    assert_eq!((reply.fenced, reply.conflicted), (vec![], vec![claim_of(row)]));
    assert_eq!(reply.woken, []);
    assert_eq!(app.snapshot().await, before, "a conflict changes nothing");
}

pub(crate) async fn a_read_of_an_absent_key_conflicts_after_a_put<S: Store>(store: Arc<S>) {
    let (app, row) = with_claimed_row(&store).await;
    app.put("c", "read", "1").await;
    assert_conflict(&app, &row, None).await;
}

pub(crate) async fn a_read_value_conflicts_after_a_change<S: Store>(store: Arc<S>) {
    let (app, row) = with_claimed_row(&store).await;
    let old = app.put("c", "read", "1").await.version;
    app.put("c", "read", "2").await;
    assert_conflict(&app, &row, Some(old)).await;
}

pub(crate) async fn a_read_value_conflicts_after_a_delete<S: Store>(store: Arc<S>) {
    let (app, row) = with_claimed_row(&store).await;
    let old = app.put("c", "read", "1").await.version;
    app.delete("c", "read").await;
    assert_conflict(&app, &row, Some(old)).await;
}

/// The value is equal to the value that was read, but its version is not.
pub(crate) async fn a_read_value_conflicts_after_a_delete_and_a_put<S: Store>(store: Arc<S>) {
    let (app, row) = with_claimed_row(&store).await;
    let old = app.put("c", "read", "1").await.version;
    app.delete("c", "read").await;
    app.put("c", "read", "1").await;
    assert_conflict(&app, &row, Some(old)).await;
}

pub(crate) async fn after_a_conflict_the_same_claim_settles_with_fresh_reads<S: Store>(store: Arc<S>) {
    let (app, row) = with_claimed_row(&store).await;
    let old = app.put("c", "read", "1").await.version;
    let fresh = app.put("c", "read", "2").await.version;
    assert_conflict(&app, &row, Some(old)).await;
    assert_eq!(app.claim(row.trigger_id, 10).await, [], "the row stays leased");
    assert_eq!(app.renew(&[&row], LEASE).await, [], "the claim is still valid");

    let effects = Effects {
        reads: vec![read("c", "read", Some(fresh))],
        writes: vec![write("c", "read", Some("3"))],
        events: Vec::new(),
    };
    app.settle(&row, done_with(effects)).await;

    assert_eq!(app.value("c", "read").await.as_deref(), Some("3"));
    assert_eq!(app.delivery(row.id).await, None);
}

pub(crate) async fn a_conflict_does_not_affect_the_other_settlements<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(4).await;
    let rows = app.claim(lane.id, 4).await;
    let old = app.put("c", "k", "1").await.version;
    let now = app.put("c", "k", "2").await.version;
    let reading = |version, at: &str| {
        done_with(Effects {
            reads: vec![read("c", "k", Some(version))],
            writes: vec![write("c", at, Some("1"))],
            events: Vec::new(),
        })
    };
    let settle = vec![
        settlement(&rows[0], reading(now, "before")),
        settlement(&rows[1], reading(old, "conflict")),
        settlement(&rows[2], reading(now, "after")),
        settlement(&rows[3], Verdict::Deferred { delay: A_MINUTE }),
    ];

    let reply = app.exchange(settle, vec![quota(lane.id, 10)]).await;

    assert_eq!((reply.fenced, reply.conflicted), (vec![], vec![claim_of(&rows[1])]));
    assert_eq!(reply.claimed, []);
    let keys: Vec<_> = app.entries("c").await.iter().map(|entry| entry.key.to_string()).collect();
    assert_eq!(keys, ["after", "before", "k"]);
    let left: Vec<_> = app.deliveries().await.iter().map(|row| row.id).collect();
    assert_eq!(left, [rows[1].id, rows[3].id]);
}

/// Settlements are applied in order. The first one changes the version that the second one has
/// read.
pub(crate) async fn the_second_of_two_increments_in_an_exchange_conflicts<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(4).await;
    let rows = app.claim(lane.id, 4).await;
    let old = app.put("c", "n", "1").await.version;
    let reading = |at: &str, version, value| {
        done_with(Effects {
            reads: vec![read("c", at, version)],
            writes: vec![write("c", at, Some(value))],
            events: Vec::new(),
        })
    };
    let settle = vec![
        settlement(&rows[0], reading("n", Some(old), "2")),
        settlement(&rows[1], reading("n", Some(old), "22")),
        settlement(&rows[2], reading("new", None, "1")),
        settlement(&rows[3], reading("new", None, "11")),
    ];

    let reply = app.exchange(settle, Vec::new()).await;

    assert_eq!((reply.fenced, reply.conflicted), (vec![], vec![claim_of(&rows[1]), claim_of(&rows[3])]));
    assert_eq!(app.value("c", "n").await.as_deref(), Some("2"));
    assert_eq!(app.value("c", "new").await.as_deref(), Some("1"));
}

/// An earlier settlement deletes an absent key. A later settlement that has read this key as absent
/// does not conflict.
pub(crate) async fn a_delete_of_an_absent_key_changes_no_version<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(2).await;
    let rows = app.claim(lane.id, 2).await;
    let delete = Effects { writes: vec![write("c", "absent", None)], ..Effects::default() };
    let put = Effects {
        reads: vec![read("c", "absent", None)],
        writes: vec![write("c", "absent", Some("1"))],
        events: Vec::new(),
    };
    let settle = vec![settlement(&rows[0], done_with(delete)), settlement(&rows[1], done_with(put))];

    let reply = app.exchange(settle, Vec::new()).await;

    assert_eq!((reply.fenced, reply.conflicted), (vec![], vec![]));
    assert_eq!(app.value("c", "absent").await.as_deref(), Some("1"));
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

/// Effects that change nothing cannot conflict.
pub(crate) async fn effects_with_only_reads_never_conflict<S: Store>(store: Arc<S>) {
    let (app, row) = with_claimed_row(&store).await;
    let old = app.put("c", "k", "1").await.version;
    app.put("c", "k", "2").await;
    let effects = Effects { reads: vec![read("c", "k", Some(old))], ..Effects::default() };

    app.settle(&row, done_with(effects)).await;

    assert_eq!(app.delivery(row.id).await, None);
}

/// A handler writes to its own app, also if another app has the same key.
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
