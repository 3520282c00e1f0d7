//! Sync calls: the row is written with its claim, executed under this claim only, and kept until
//! its reply is delivered.

use crate::Store;
use crate::support::*;
use std::sync::Arc;
use tidegate_core::{
    AbandonCause, BeginCallsReply, Delivery, Effects, ExecError, Handler, HandlerReply, IdempotencyKey, InboxId,
    Incarnation, Kind, Micros, NewEvent, Parent, Refusal, Reply, ReplyBody, Request, SyncCall, SyncOutcome, SyncReply,
    SyncTarget, TimeoutMs, Trigger, TriggerSpec, Verdict,
};
use tidegate_ports::{DeliveryState, DispatchStore, LedgerStore};

fn on_http(name: &str) -> TriggerSpec {
    spec(name, http("POST", "/a"))
}

async fn with_http<S: Store>(store: &Arc<S>) -> (App<S>, Trigger) {
    let (app, _) = with_listeners(store).await;
    let http = app.trigger(&on_http("http")).await;
    (app, http)
}

fn inbox(seq: u64) -> InboxId {
    InboxId { incarnation: Incarnation(uuid::Uuid::from_u128(7)), seq }
}

fn request() -> NewEvent {
    new_event("http.request", "POST /a", r#"{"b": [1, "ü"]}"#)
}

fn call_of(trigger: &Trigger, seq: u64) -> SyncCall {
    SyncCall {
        inbox: inbox(seq),
        target: SyncTarget::Trigger { app: trigger.app.clone(), id: trigger.id },
        event: request(),
        cause: outside(),
        idempotency_key: None,
    }
}

fn invocation<S>(app: &App<S>, script: &str, seq: u64) -> SyncCall {
    let timeout = TimeoutMs::try_from(1_234).expect("a timeout");
    let target = SyncTarget::Script { app: app.name.clone(), script: script_name(script), timeout };
    SyncCall {
        inbox: inbox(seq),
        target,
        event: new_event("invoke", script, "null"),
        cause: outside(),
        idempotency_key: None,
    }
}

impl<S: Store> App<S> {
    async fn begin(&self, calls: Vec<SyncCall>, lease_for: Micros) -> (Vec<Delivery>, Vec<(InboxId, Refusal)>) {
        let request = Request::BeginCalls { calls, lease_for };
        match DispatchStore::call(&*self.store, request).await.expect("the store answers the calls") {
            Reply::BeginCalls(BeginCallsReply { deliveries: begun, refused, repeated, .. }) if repeated.is_empty() => {
                (begun.into_iter().map(Arc::unwrap_or_clone).collect(), refused)
            }
            other => panic!("calls were answered by {other:?}"),
        }
    }

    async fn begin_one(&self, call: SyncCall) -> Delivery {
        let (mut begun, refused) = self.begin(vec![call], LEASE).await;
        assert_eq!((begun.len(), refused), (1, vec![]));
        begun.remove(0)
    }

    async fn refused(&self, call: SyncCall) -> Refusal {
        let rows = self.deliveries().await;
        let (begun, refused) = self.begin(vec![call], LEASE).await;
        assert_eq!((begun, self.deliveries().await), (vec![], rows), "nothing is written");
        let [(_, refusal)] = refused[..] else { panic!("{refused:?}") };
        refusal
    }
}

fn succeeded(effects: Effects) -> Verdict {
    Verdict::Executed { effects, outcome: SyncOutcome { status: 201, error: None, message: None }, reply: None }
}

pub(crate) async fn a_call_is_written_as_a_row_leased_to_its_daemon<S: Store>(store: Arc<S>) {
    let (app, http) = with_http(&store).await;
    let row = app.begin_one(call_of(&http, 5)).await;

    assert_eq!(row.kind(), Kind::Sync(inbox(5)));
    assert_eq!((row.trigger_id, row.trigger_name.as_str(), row.attempt), (http.id, "http", 1));
    assert_eq!((&row.runs_as, row.policy.max_attempts(), row.timeout), (&registrant(), 1, Micros::from_secs(30)));
    assert_eq!(row.handler.as_ref(), Some(&http.spec.handler));
    let (event, sent) = (&row.event, request());
    assert_eq!((&event.event_type, &event.subject), (&sent.event_type, &sent.subject));
    assert_eq!((event.data.as_str(), event.source.as_str()), (r#"{"b": [1, "ü"]}"#, "http"));
    assert_eq!((&event.actor, event.root_id, event.parent_id, event.depth), (&actor(), event.id, None, 0));
    assert_eq!(event.traceparent.as_deref(), Some(TRACEPARENT));

    let shown = app.delivery(row.id).await.expect("the row exists");
    assert_eq!((shown.state, shown.attempt), (DeliveryState::Leased, 1));
    assert_eq!(app.claim(http.id, 9).await, [], "no claim takes a leased row");
    assert!(!app.lanes().await.contains(&http.id));
}

pub(crate) async fn an_invocation_runs_a_script_as_its_caller<S: Store>(store: Arc<S>) {
    let (app, _) = with_http(&store).await;
    let before = app.triggers().await;
    let row = app.begin_one(invocation(&app, "greet", 1)).await;
    assert_eq!(row.handler, Some(Handler::Script(script_name("greet"))));
    assert_eq!((row.script_version, row.trigger_name.as_str()), (None, "invoke"));
    assert_eq!((&row.runs_as, row.timeout), (&actor(), Micros::from_millis(1_234)));
    assert_eq!(app.triggers().await, before, "the lane of invocations is not in the list of triggers");

    let script = tidegate_ports::ScriptStore::put(&*app.store, &app.name, &script_name("greet"), "x").await;
    let version = script.expect("the script is put").version;
    assert_eq!(app.begin_one(invocation(&app, "greet", 2)).await.script_version, Some(version));
}

pub(crate) async fn calls_begin_in_order_and_are_refused_one_by_one<S: Store>(store: Arc<S>) {
    let (app, http) = with_http(&store).await;
    let gone = Trigger { id: tidegate_core::TriggerId(999_999), ..http.clone() };
    let calls = vec![call_of(&http, 1), call_of(&gone, 2), invocation(&app, "s", 3), call_of(&http, 4)];
    let (begun, refused) = app.begin(calls, LEASE).await;
    let seqs: Vec<_> = begun.iter().filter_map(|row| row.reply_to).map(|inbox| inbox.seq).collect();
    assert_eq!((seqs, refused), (vec![1, 3, 4], vec![(inbox(2), Refusal::Gone)]));
}

pub(crate) async fn a_refused_call_writes_nothing<S: Store>(store: Arc<S>) {
    let (app, http) = with_http(&store).await;
    let lane = app.trigger_named("lane").await.expect("the trigger exists");
    assert_eq!(app.refused(call_of(&lane, 1)).await, Refusal::Gone, "the trigger does not match requests");
    let missing = App { store: Arc::clone(&app.store), name: app_name("missing") };
    assert_eq!(app.refused(invocation(&missing, "s", 1)).await, Refusal::Gone);

    app.set_paused("http", true).await;
    assert_eq!(app.refused(call_of(&http, 1)).await, Refusal::Paused);
    app.set_paused("http", false).await;
    app.trigger(&TriggerSpec { enabled: false, ..on_http("http") }).await;
    assert_eq!(app.refused(call_of(&http, 1)).await, Refusal::Gone);
    app.trigger(&on_http("http")).await;
    app.begin_one(call_of(&http, 1)).await;
    app.delete_trigger("http").await;
    assert_eq!(app.refused(call_of(&http, 1)).await, Refusal::Gone);
}

pub(crate) async fn a_call_beyond_the_limit_is_refused<S: Store>(store: Arc<S>) {
    let (app, _) = with_http(&store).await;
    let http = app.trigger(&TriggerSpec { max_concurrency: limit(2), ..on_http("http") }).await;
    let (begun, refused) = app.begin((1..=3).map(|seq| call_of(&http, seq)).collect(), LEASE).await;
    assert_eq!((begun.len(), refused), (2, vec![(inbox(3), Refusal::Busy)]));
    app.settle(&begun[0], succeeded(Effects::default())).await;
    // A caller that has its reply may call again before `Replied` is settled.
    app.begin_one(call_of(&http, 4)).await;
    app.settle(&begun[0], Verdict::Replied).await;
    assert_eq!(app.refused(call_of(&http, 5)).await, Refusal::Busy, "two executions are in flight");
}

pub(crate) async fn effects_are_applied_once_and_the_row_stays_until_its_reply_is_delivered<S: Store>(store: Arc<S>) {
    let (app, http) = with_http(&store).await;
    let row = app.begin_one(call_of(&http, 1)).await;
    let reply = app.settle(&row, succeeded(some_effects())).await;
    assert_eq!(reply.woken.len(), 2, "the lanes of the writes and of the event are woken");
    let (waiting, version) = (app.waiting().await, app.get("c", "k").await.map(|entry| entry.version));
    assert!(app.delivery(row.id).await.is_some());

    // The dispatcher lost the answer and sends the settlement again.
    let again = app.settle(&row, succeeded(some_effects())).await;
    assert_eq!((again.woken, app.waiting().await), (vec![], waiting));
    assert_eq!(app.get("c", "k").await.map(|entry| entry.version), version);

    app.settle(&row, Verdict::Replied).await;
    assert_eq!(app.delivery(row.id).await, None);
    assert_eq!(app.try_settle(&row, Verdict::Replied).await.fenced, [claim_of(&row)]);
}

pub(crate) async fn events_of_a_call_continue_its_chain<S: Store>(store: Arc<S>) {
    let (app, http) = with_http(&store).await;
    let parent = Parent { root_id: app.go(1).await[0].event_id, parent_id: app.go(1).await[0].event_id, depth: 3 };
    let nested = SyncCall { cause: tidegate_core::Cause { parent: Some(parent), ..outside() }, ..call_of(&http, 1) };
    for (call, actor) in [(nested, registrant()), (invocation(&app, "s", 2), actor())] {
        let row = app.begin_one(call).await;
        let emitted = Effects { events: vec![new_event("matched", "", "1")], ..Effects::default() };
        app.settle(&row, succeeded(emitted)).await;
        let listener = app.trigger_named("on-events").await.expect("the trigger exists");
        let heard = app.next(listener.id).await.event;
        assert_eq!((heard.root_id, heard.parent_id), (row.event.root_id, Some(row.event.id)));
        assert_eq!((heard.depth, heard.actor), (row.event.depth + 1, actor));
    }
}

pub(crate) async fn a_conflict_leaves_a_call_unchanged<S: Store>(store: Arc<S>) {
    let (app, http) = with_http(&store).await;
    let row = app.begin_one(call_of(&http, 1)).await;
    let stale = Effects { reads: vec![read("c", "there", None)], ..some_effects() };
    let reply = app.try_settle(&row, succeeded(stale)).await;
    assert_eq!((reply.conflicted, reply.fenced), (vec![claim_of(&row)], vec![]));
    assert_eq!(app.value("c", "k").await, None);
    app.settle(&row, succeeded(some_effects())).await;
    assert_eq!(app.value("c", "k").await.as_deref(), Some("2"));
}

pub(crate) async fn a_call_of_a_dead_daemon_is_claimed_and_can_only_be_abandoned<S: Store>(store: Arc<S>) {
    let (app, http) = with_http(&store).await;
    for (n, is_executed) in [false, true].into_iter().enumerate() {
        let (begun, _) = app.begin(vec![call_of(&http, n as u64)], Micros(1)).await;
        if is_executed {
            app.settle(&begun[0], succeeded(some_effects())).await;
        }
        // A paused trigger does not keep an orphaned call in the outbox.
        app.set_paused("http", true).await;
        let orphan = app.next_suspect(http.id).await;
        app.set_paused("http", false).await;
        assert_eq!((orphan.id, orphan.kind()), (begun[0].id, Kind::Sync(inbox(n as u64))));
        assert_eq!(app.try_settle(&begun[0], succeeded(some_effects())).await.fenced, [claim_of(&begun[0])]);
        assert_eq!(app.try_settle(&begun[0], Verdict::Replied).await.fenced, [claim_of(&begun[0])]);
        app.settle(&orphan, Verdict::Abandoned { cause: AbandonCause::NodeLost }).await;
        assert_eq!((app.delivery(orphan.id).await, app.letters().await), (None, vec![]));
    }
}

pub(crate) async fn an_orphaned_invocation_is_discovered<S: Store>(store: Arc<S>) {
    let (app, _) = with_http(&store).await;
    let (begun, _) = app.begin(vec![invocation(&app, "s", 1)], Micros(1)).await;
    let lane = begun[0].trigger_id;
    for _ in 0..10_000 {
        if app.lost_lanes().await.contains(&lane) {
            let orphan = app.next_suspect(lane).await;
            assert_eq!(orphan.kind(), Kind::Sync(inbox(1)));
            app.settle(&orphan, Verdict::Abandoned { cause: AbandonCause::NodeLost }).await;
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    panic!("the lane of the orphaned invocation is not discovered");
}

pub(crate) async fn a_failed_call_keeps_its_outcome_and_applies_nothing<S: Store>(store: Arc<S>) {
    let (app, http) = with_http(&store).await;
    let row = app.begin_one(call_of(&http, 1)).await;
    let message = Some("no\u{fffd}pe".to_owned());
    let outcome = SyncOutcome { status: 504, error: Some(ExecError::Timeout), message };
    let before = app.entries("c").await;
    app.settle(&row, Verdict::Executed { effects: Effects::default(), outcome, reply: None }).await;
    assert_eq!(app.entries("c").await, before);
    app.settle(&row, Verdict::Abandoned { cause: AbandonCause::CallerGone }).await;
    assert_eq!((app.delivery(row.id).await, app.letters().await), (None, vec![]));
    let listed = LedgerStore::abandoned(&*app.store, &app.name, None, 10).await.expect("the executions are listed");
    let [abandoned] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!(
        (abandoned.outcome.as_deref(), abandoned.status, abandoned.message.as_deref()),
        (Some("timeout"), Some(504), Some("no\u{fffd}pe"))
    );
    assert_eq!((abandoned.delivery_id, abandoned.trigger.as_str(), abandoned.event_id), (row.id, "http", row.event.id));
}

pub(crate) async fn a_renewed_call_is_not_claimed<S: Store>(store: Arc<S>) {
    let (app, http) = with_http(&store).await;
    let (begun, _) = app.begin(vec![call_of(&http, 1)], Micros::from_secs(5)).await;
    assert_eq!(app.renew(&[&begun[0]], LEASE).await, []);
    assert_eq!(app.claim(http.id, 1).await, []);
    app.settle(&begun[0], succeeded(Effects::default())).await;
    assert_eq!(app.renew(&[&begun[0]], LEASE).await, [], "the lease can be renewed while the reply is delivered");
}

pub(crate) async fn a_repeated_call_gets_the_reply_of_the_first_success<S: Store>(store: Arc<S>) {
    let (app, _) = with_http(&store).await;
    let keyed = |seq, key: &str, digest: &str| {
        let idempotency_key = Some(IdempotencyKey { key: key.to_owned(), digest: digest.to_owned() });
        SyncCall { idempotency_key, ..invocation(&app, "s", seq) }
    };
    let first = app.begin_one(keyed(1, "k", "d")).await;
    assert_eq!(app.refused(keyed(2, "k", "d")).await, Refusal::KeyInUse);
    assert_eq!(app.refused(keyed(3, "k", "other")).await, Refusal::KeyReused);
    app.begin_one(keyed(4, "another", "d")).await;

    // A failed call frees its key.
    let outcome = SyncOutcome { status: 500, error: Some(ExecError::ScriptError), message: None };
    app.settle(&first, Verdict::Executed { effects: Effects::default(), outcome, reply: None }).await;
    assert_eq!(
        app.refused(keyed(5, "k", "d")).await,
        Refusal::KeyInUse,
        "the key is in use until the caller has its reply"
    );
    app.settle(&first, Verdict::Replied).await;
    let second = app.begin_one(keyed(6, "k", "d")).await;

    let body = Some(ReplyBody::Json(json(r#"{"n": 12.50}"#)));
    let reply = HandlerReply { status: 201, headers: vec![("x-a".to_owned(), "ü".to_owned())], body };
    let outcome = SyncOutcome { status: 201, error: None, message: None };
    let verdict = Verdict::Executed { effects: Effects::default(), outcome, reply: Some(reply.clone()) };
    app.settle(&second, verdict).await;
    for is_replied in [false, true] {
        if is_replied {
            app.settle(&second, Verdict::Replied).await;
        }
        let request = Request::BeginCalls { calls: vec![keyed(7, "k", "d")], lease_for: LEASE };
        let Reply::BeginCalls(BeginCallsReply { deliveries: begun, refused, repeated, .. }) =
            app.store.call(request).await.expect("the store answers the call")
        else {
            panic!("the answer is of another kind")
        };
        let first_reply = SyncReply { execution: Some(second.claim()), result: Ok(Some(reply.clone())) };
        assert_eq!((begun, refused, repeated), (vec![], vec![], vec![(inbox(7), first_reply)]));
    }
    assert_eq!(app.refused(keyed(8, "k", "other")).await, Refusal::KeyReused);
    let other = App::named(&store, "other").await;
    let same_key = keyed(9, "k", "d").idempotency_key;
    other.begin_one(SyncCall { idempotency_key: same_key, ..invocation(&other, "s", 9) }).await;
}

pub(crate) async fn calls_of_one_request_and_lane_are_one_claim<S: Store>(store: Arc<S>) {
    let (app, http) = with_http(&store).await;
    let calls = vec![call_of(&http, 1), invocation(&app, "s", 2), call_of(&http, 3)];
    let (rows, _) = app.begin(calls, Micros(1)).await;
    let (later, _) = app.begin(vec![call_of(&http, 4)], LEASE).await;
    assert_eq!(rows[0].lease, rows[2].lease);
    assert_ne!(rows[0].lease, rows[1].lease);
    assert!(rows.iter().all(|row| row.lease != later[0].lease));

    assert_eq!(app.renew(&[&rows[2]], LEASE).await, []);

    assert_eq!(app.claim_suspects(http.id).await, [], "the renewal of one call extends the lease of both");
    let orphans = app.claim_suspects(rows[1].trigger_id).await;
    assert_eq!(ids(&orphans), [rows[1].id], "the claim of the other lane has expired");
    app.settle(&rows[0], succeeded(Effects::default())).await;
    assert_eq!(app.renew(&[&rows[2]], Micros(1)).await, []);
    let orphans = app.claim_suspects(http.id).await;
    assert_eq!(ids(&orphans), [rows[0].id, rows[2].id], "an executed call stays in its claim");
}

pub(crate) async fn lost_calls_become_suspects<S: Store>(store: Arc<S>) {
    let (app, http) = with_http(&store).await;
    let (lost, _) = app.begin(vec![call_of(&http, 1), call_of(&http, 2)], Micros(1)).await;

    let orphans = app.claim_suspects(http.id).await;

    assert_eq!((ids(&orphans), orphans[0].attempt, orphans[0].lost), (ids(&lost), 1, 1));
    let history = app.delivery(orphans[0].id).await.expect("the row exists").failed;
    assert_eq!(history.iter().map(|one| (one.attempt, one.error)).collect::<Vec<_>>(), [(1, ExecError::Lost)]);
    for orphan in &orphans {
        app.settle(orphan, Verdict::Abandoned { cause: AbandonCause::NodeLost }).await;
    }
    assert!(!app.lost_lanes().await.contains(&http.id));
}

pub(crate) async fn an_executed_call_frees_its_slot_once<S: Store>(store: Arc<S>) {
    let (app, http) = with_http(&store).await;
    app.trigger(&TriggerSpec { max_concurrency: limit(3), ..http.spec.clone() }).await;
    let (rows, _) = app.begin((1..=3).map(|seq| call_of(&http, seq)).collect(), LEASE).await;
    assert_eq!(app.refused(call_of(&http, 4)).await, Refusal::Busy);

    app.settle(&rows[0], succeeded(Effects::default())).await;
    app.settle(&rows[0], succeeded(Effects::default())).await;
    app.begin_one(call_of(&http, 5)).await;
    assert_eq!(app.refused(call_of(&http, 6)).await, Refusal::Busy);

    app.settle(&rows[0], Verdict::Replied).await;
    assert_eq!(app.renew(&[&rows[1]], LEASE).await, []);
    assert_eq!(app.refused(call_of(&http, 7)).await, Refusal::Busy, "the executed call had no slot any more");
    app.settle(&rows[1], Verdict::Abandoned { cause: AbandonCause::CallerGone }).await;
    app.begin_one(call_of(&http, 8)).await;
    assert_eq!(app.refused(call_of(&http, 9)).await, Refusal::Busy);
}
