//! Events of an app: a request emits all of its events or none, and once per idempotency key.

use crate::Store;
use crate::support::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use tidegate_core::IdempotencyKey;
use tidegate_core::{Cause, Event, NewEvent, Source};
use tidegate_ports::{Emission, OutboxStore, PortError};

pub(crate) async fn an_event_is_emitted_with_all_fields<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    let new = new_event("go", "a/b é", r#"{"b":1.50, "a":"\u00e9😀"}"#);

    let emitted = app.emit(vec![new.clone()]).await;

    assert_eq!((emitted.len(), woken(&emitted[0])), (1, vec![lane.id]));
    let row = app.next(lane.id).await;
    let NewEvent { event_type, subject, data } = new;
    let id = emitted[0].event_id;
    let expected = Event {
        id,
        app: app.name.clone(),
        source: Source::App,
        event_type,
        subject,
        time: row.enqueued_at,
        data,
        actor: actor(),
        root_id: id,
        parent_id: None,
        depth: 0,
        traceparent: Some(TRACEPARENT.to_owned()),
    };
    assert_eq!(row.event, expected);
    assert_eq!(id.0.get_version_num(), 7, "the event id {id} is no UUIDv7");
    assert!(row.due_at == row.enqueued_at, "{row:#?}");
}

/// An event that is emitted while another event is handled continues the chain of that event.
pub(crate) async fn an_event_carries_its_cause<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(1).await;
    let parent = app.next(lane.id).await.event;
    let cause = Cause::handling(&parent, registrant());
    let events = vec![new_event("go", "child", "null")];
    let emission = Emission { app: app.name.clone(), events, cause, idempotency_key: None };

    OutboxStore::emit(&*store, &emission).await.expect("the event is emitted");

    let child = app.next(lane.id).await.event;
    assert_eq!((child.root_id, child.parent_id, child.depth), (parent.id, Some(parent.id), 1));
    assert_eq!((child.actor, child.traceparent), (registrant(), parent.traceparent));
}

pub(crate) async fn the_answer_lists_events_in_order_with_their_lanes<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let a = app.trigger(&on_app("a", "a*")).await.id;
    let b = app.trigger(&on_app("b", "*b")).await.id;

    let emitted = app.emit(["a", "b", "ab", "c", "a"].map(|name| new_event(name, "", "null")).into()).await;

    let lanes: Vec<_> = emitted.iter().map(woken).collect();
    assert_eq!(lanes, [vec![a], vec![b], vec![a, b], vec![], vec![a]]);
    assert_eq!(emitted.iter().map(|event| event.event_id).collect::<BTreeSet<_>>().len(), 5);
    let of_a: Vec<_> = app.claim(a, 10).await.iter().map(|row| row.event.id).collect();
    assert_eq!(of_a, [0, 2, 4].map(|n| emitted[n].event_id));
}

pub(crate) async fn an_empty_emission_writes_nothing<S: Store>(store: Arc<S>) {
    let (app, _) = App::with_lane(&store).await;
    assert_eq!(app.emit(Vec::new()).await, []);
    assert_eq!(app.deliveries().await, []);
}

pub(crate) async fn a_large_batch_is_emitted<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    let emitted = app.go(1_000).await;
    assert_eq!(emitted.len(), 1_000);
    let claimed = app.claim(lane.id, 2_000).await;
    let claimed: Vec<_> = claimed.iter().map(|row| row.event.id).collect();
    assert_eq!(claimed, emitted.iter().map(|event| event.event_id).collect::<Vec<_>>());
}

pub(crate) async fn a_repeated_request_gets_the_first_answer<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    let events = || vec![new_event("go", "a", "1"), new_event("unmatched", "b", "2"), new_event("go", "c", "3")];
    let first = app.emit_once("key", "digest", events()).await.expect("the events are emitted");
    assert_eq!(first.iter().map(woken).collect::<Vec<_>>(), [vec![lane.id], vec![], vec![lane.id]]);
    let rows = app.deliveries().await;

    let again = app.emit_once("key", "digest", events()).await.expect("the repeated request is answered");

    let ids = |emitted: &[tidegate_ports::EmittedEvent]| emitted.iter().map(|one| one.event_id).collect::<Vec<_>>();
    assert_eq!(ids(&again), ids(&first));
    assert!(again.iter().all(|event| event.lanes.is_empty()), "a repeated request wakes no lane: {again:?}");
    assert_eq!(app.deliveries().await, rows);

    // The answer stays the same after the rows are done and the triggers have changed.
    for row in app.claim(lane.id, 10).await {
        app.settle(&row, done()).await;
    }
    app.trigger(&on_app("another", "*")).await;
    let later = app.emit_once("key", "digest", events()).await.expect("the repeated request is answered");
    assert_eq!((ids(&later), app.deliveries().await), (ids(&first), vec![]));
}

pub(crate) async fn an_idempotency_key_is_refused_for_another_request<S: Store>(store: Arc<S>) {
    let (app, _) = App::with_lane(&store).await;
    let events = || vec![new_event("go", "a", "1")];
    let first = app.emit_once("key", "digest", events()).await.expect("the event is emitted");
    let rows = app.deliveries().await;

    assert_eq!(app.emit_once("key", "other", events()).await, Err(PortError::IdempotencyKeyReused));

    assert_eq!(app.deliveries().await, rows);
    let again = app.emit_once("key", "digest", events()).await.expect("the first request is still known");
    assert_eq!(again[0].event_id, first[0].event_id);
}

pub(crate) async fn an_idempotency_key_belongs_to_its_app<S: Store>(store: Arc<S>) {
    let (app, _) = App::with_lane(&store).await;
    let other = App::named(&store, "other").await;
    other.trigger(&on_app("lane", "go")).await;
    let events = || vec![new_event("go", "a", "1")];
    let first = app.emit_once("key", "digest", events()).await.expect("the event is emitted");

    let others = other.emit_once("key", "another", events()).await.expect("the key is free in the other app");

    assert_ne!(others[0].event_id, first[0].event_id);
    assert_eq!((app.waiting().await, other.waiting().await), (vec!["lane".to_owned()], vec!["lane".to_owned()]));
    let keys = ["Key", "key ", "kéy", "%", &"k".repeat(255)].map(str::to_owned);
    for key in &keys {
        app.emit_once(key, "digest", events()).await.expect("the key is free");
    }
    assert_eq!(app.deliveries().await.len(), 1 + keys.len());
}

/// A failed request does not use up its idempotency key.
pub(crate) async fn an_emission_in_an_unknown_app_is_an_error<S: Store>(store: Arc<S>) {
    let missing = App { store, name: app_name("missing") };
    let events = || vec![new_event("go", "a", "1")];
    let idempotency_key = Some(IdempotencyKey { key: "key".to_owned(), digest: "digest".to_owned() });
    for idempotency_key in [None, idempotency_key] {
        let emission = Emission { app: missing.name.clone(), events: events(), cause: outside(), idempotency_key };
        assert_eq!(OutboxStore::emit(&*missing.store, &emission).await, Err(PortError::UnknownApp));
    }

    let created = App::named(&missing.store, "missing").await;
    let lane = created.trigger(&on_app("lane", "go")).await;
    assert_eq!(created.deliveries().await, []);
    let emitted = created.emit_once("key", "other", events()).await.expect("the key is free");
    assert_eq!(woken(&emitted[0]), [lane.id]);
}
