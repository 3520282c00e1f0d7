//! Fan-out: one row for each enabled trigger that matches an event, in the transaction of the
//! event.

use crate::Store;
use crate::support::*;
use std::sync::Arc;
use tidegate_core::{
    Backoff, Delivery, Event, EventType, Handler, KvOps, Match, Micros, Pattern, RetryPolicySpec, Source, Standing,
    Subject, TriggerSpec,
};

pub(crate) async fn a_put_writes_one_row_for_each_matching_trigger<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let first = app.trigger(&on_kv("first", "carts", "a*")).await;
    let second = app.trigger(&on_kv("second", "*", "*")).await;
    app.trigger(&on_kv("other-key", "carts", "b*")).await;
    app.trigger(&on_app("other-source", "*")).await;

    let put = app.put("carts", "a1", "1").await;

    assert_eq!(woken(&put.emitted), [first.id, second.id]);
    assert_eq!(app.waiting().await, ["first", "second"]);
}

pub(crate) async fn a_kv_trigger_matches_only_its_operations<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let on = |name: &str, set: bool, delete: bool| {
        spec(name, Match::Kv { ops: KvOps { set, delete }, collection: Pattern::any(), key: Pattern::any() })
    };
    let both = app.trigger(&on("both", true, true)).await.id;
    let set = app.trigger(&on("set", true, false)).await.id;
    let delete = app.trigger(&on("delete", false, true)).await.id;

    let put = app.put("c", "k", "1").await;
    let deleted = app.delete("c", "k").await.expect("the key has a value");

    assert_eq!(woken(&put.emitted), [both, set]);
    assert_eq!(woken(&deleted.emitted), [both, delete]);
}

pub(crate) async fn a_claimed_row_has_all_fields_of_its_event_and_trigger<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let trigger = app.trigger(&TriggerSpec { retry: attempts(7), ..on_kv("first", "carts", "*") }).await;
    let value = r#"{"z":1.50,"a":[1, 2],"ü":"\n%"}"#;

    let put = app.put("carts", "a/1", value).await;
    let row = app.next(trigger.id).await;

    assert_eq!(kv_data(&row.event), ("carts".to_owned(), "a/1".to_owned(), value.to_owned(), put.version));
    let event = Event {
        id: put.emitted.event_id,
        app: app.name.clone(),
        source: Source::Kv,
        event_type: EventType::new("kv.set").expect("a valid type"),
        subject: Subject::new("carts/a/1").expect("a valid subject"),
        time: put.updated_at,
        data: row.event.data.clone(),
        actor: actor(),
        root_id: put.emitted.event_id,
        parent_id: None,
        depth: 0,
        traceparent: Some(TRACEPARENT.to_owned()),
    };
    let expected = Delivery {
        id: row.id,
        trigger_id: trigger.id,
        trigger_name: trigger.spec.name.clone(),
        trigger_version: trigger.version,
        event,
        handler: Some(trigger.spec.handler.clone()),
        script_version: None,
        runs_as: registrant(),
        standing: Standing::Allowed,
        policy: trigger.spec.retry,
        timeout: trigger.spec.timeout_ms.as_micros(),
        attempt: 1,
        lost: 0,
        lease: row.lease,
        due_at: put.updated_at,
        enqueued_at: put.updated_at,
        redrive_generation: 0,
        reply_to: None,
        handles_letter: None,
    };
    assert_eq!(row, expected);
}

/// A row has the retry policy and the timeout that its trigger had at the emission, and the handler
/// that the trigger has at the claim.
pub(crate) async fn a_row_keeps_the_retry_policy_of_its_emission<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let policy = RetryPolicySpec {
        max_attempts: 9,
        max_lost: 4,
        backoff: Backoff::Linear,
        base_ms: 123,
        max_ms: 4_567,
        jitter: 0.123_456,
        max_age_ms: Some(89_000),
    };
    let old = TriggerSpec {
        retry: policy.try_into().expect("a valid policy"),
        timeout_ms: 1_234.try_into().expect("a valid timeout"),
        ..on_app("lane", "go")
    };
    let before = app.trigger(&old).await;
    app.go(1).await;
    let new = TriggerSpec {
        retry: attempts(2),
        timeout_ms: 1.try_into().expect("a valid timeout"),
        handler: Handler::Webhook("https://example.org/hook?a=b".to_owned()),
        ..old.clone()
    };
    let after = app.trigger(&new).await;

    assert_eq!(app.deliveries().await[0].max_attempts, 9);
    let row = app.next(before.id).await;
    assert_eq!((row.policy, row.timeout), (old.retry, Micros::from_millis(1_234)));
    assert_eq!((row.handler, row.trigger_version), (Some(new.handler), after.version));
}

pub(crate) async fn a_disabled_trigger_gets_no_rows<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let enabled = app.trigger(&on_app("lane", "go")).await;
    let waiting = app.go(1).await;
    app.trigger(&TriggerSpec { enabled: false, ..enabled.spec.clone() }).await;
    let missed = app.go(1).await;
    assert_eq!(woken(&missed[0]), []);

    let row = app.next(enabled.id).await;
    assert_eq!(row.event.id, waiting[0].event_id, "a row from before the change still runs");
    app.settle(&row, done()).await;

    app.trigger(&enabled.spec).await;
    assert_eq!(app.deliveries().await, [], "an event that a disabled trigger missed makes no row later");
    assert_eq!(woken(&app.go(1).await[0]), [enabled.id]);
}

pub(crate) async fn rows_of_a_paused_trigger_wait_until_it_resumes<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.set_paused("lane", true).await;
    let emitted = app.go(2).await;
    assert_eq!(app.waiting().await, ["lane", "lane"]);
    assert_eq!(app.claim(lane.id, 10).await, []);
    assert_eq!(app.lanes().await, []);

    app.set_paused("lane", false).await;

    assert_eq!(app.lanes().await, [lane.id]);
    let events: Vec<_> = app.claim(lane.id, 10).await.iter().map(|row| row.event.id).collect();
    assert_eq!(events, [emitted[0].event_id, emitted[1].event_id]);
}

pub(crate) async fn rows_of_a_deleted_trigger_have_no_handler<S: Store>(store: Arc<S>) {
    let (app, old) = App::with_lane(&store).await;
    app.set_paused("lane", true).await;
    app.go(1).await;
    assert!(app.delete_trigger("lane").await);

    assert_eq!(app.lanes().await, [old.id], "rows of a deleted trigger are claimed, even if it was paused");
    let row = app.next(old.id).await;
    assert_eq!(row.handler, None);
    assert_eq!((row.trigger_name.as_str(), row.runs_as), ("lane", registrant()));
    assert_eq!(woken(&app.go(1).await[0]), [], "a deleted trigger gets no new rows");
}

pub(crate) async fn rows_of_a_deleted_trigger_do_not_move_to_its_successor<S: Store>(store: Arc<S>) {
    let (app, old) = App::with_lane(&store).await;
    app.go(1).await;
    app.delete_trigger("lane").await;
    let new = app.trigger(&old.spec).await;
    assert_ne!(new.id, old.id);

    app.go(1).await;

    assert_eq!(app.lanes().await, [old.id, new.id]);
    assert_eq!(app.next(old.id).await.handler, None);
    assert_eq!(app.next(new.id).await.handler, Some(new.spec.handler));
}

pub(crate) async fn an_event_matches_only_triggers_of_its_app<S: Store>(store: Arc<S>) {
    let (one, other) = (App::named(&store, "one").await, App::named(&store, "other").await);
    let matching = one.trigger(&on_kv("same-name", "*", "*")).await;
    other.trigger(&on_kv("same-name", "*", "*")).await;

    let put = one.put("c", "k", "1").await;

    assert_eq!(woken(&put.emitted), [matching.id]);
    assert_eq!(one.waiting().await, ["same-name"]);
    assert_eq!(other.deliveries().await, []);
    assert_eq!(other.get("c", "k").await, None);
}

/// A tick or a request is for one trigger. An emitted event of the same type fires no cron or HTTP
/// trigger.
pub(crate) async fn cron_and_http_triggers_match_no_emitted_event<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    app.trigger(&on_cron("cron")).await;
    app.trigger(&spec("http", http("GET", "/a"))).await;
    let subjects = ["", "cron", "http", "/a", "*"];
    let types = ["cron.tick", "http.request", "*"];

    for event_type in types {
        for emitted in app.emit(subjects.map(|subject| new_event(event_type, subject, "null")).into()).await {
            assert_eq!(woken(&emitted), []);
        }
    }
    app.put("c", "k", "1").await;

    assert_eq!(app.deliveries().await, []);
}
