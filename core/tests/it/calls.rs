//! Sync calls, output by output. Each ends in exactly one of three ways: refused before anything
//! was written, replied, or abandoned.

use crate::bench::*;
use crate::fixtures::*;
use std::sync::Arc;
use tidegate_core::*;

pub(crate) fn called(seq: u64) -> Input {
    Input::SyncCalled { call: Arc::new(call(seq, 0)) }
}

pub(crate) fn only_begin(drained: &Drained) -> (OpId, Vec<SyncCall>) {
    let of = |action: &Action| match action {
        Action::CallStore { op, request: Request::BeginCalls { calls, .. } } => Some((*op, calls.clone())),
        _ => None,
    };
    let mut all: Vec<_> = drained.actions.iter().filter_map(of).collect();
    assert_eq!(all.len(), 1, "{:?}", drained.actions);
    all.remove(0)
}

pub(crate) fn replies(drained: &Drained) -> Vec<(OpId, u64, SyncReply)> {
    let of = |action: &Action| match action {
        Action::Reply { op, inbox, reply } => Some((*op, inbox.seq, reply.clone())),
        _ => None,
    };
    drained.actions.iter().filter_map(of).collect()
}

/// The only reply, which is a failure: its inbox, its class, and whether it has a `retry_after`.
pub(crate) fn only_refusal(drained: &Drained) -> (u64, ExecError, bool) {
    let replies = replies(drained);
    let [(_, seq, SyncReply { result: Err(failure), .. })] = &replies[..] else { panic!("{replies:?}") };
    (*seq, failure.error, failure.retry_after.is_some())
}

pub(crate) fn begin(deliveries: Vec<Delivery>) -> Reply {
    let deliveries = deliveries.into_iter().map(Arc::new).collect();
    Reply::BeginCalls(BeginCallsReply { now: NOW, deliveries, refused: Vec::new(), repeated: Vec::new() })
}

fn response(status: u16) -> Outcome {
    let reply = HandlerReply { status, headers: Vec::new(), body: None };
    Outcome::Succeeded { effects: effects(), reply: Some(reply) }
}

fn with_header(name: &str, value: &str) -> Outcome {
    let headers = vec![(name.to_owned(), value.to_owned())];
    Outcome::Succeeded { effects: effects(), reply: Some(HandlerReply { status: 200, headers, body: None }) }
}

fn verdict(delivery: &Delivery, verdict: Verdict) -> Settlement {
    Settlement { claim: claim_of(delivery), verdict }
}

fn executed(error: Option<(ExecError, &str)>, status: u16, effects: Effects) -> Verdict {
    let (error, message) = error.map_or((None, None), |(error, text)| (Some(error), Some(text.to_owned())));
    Verdict::Executed { effects, outcome: SyncOutcome { status, error, message }, reply: None }
}

fn deliver(bench: &mut Bench, op: OpId, delivered: bool) -> Drained {
    bench.after(Micros(100), Input::ReplyDelivered { op, delivered })
}

/// A dispatcher that executes call 1 as delivery 1.
fn running_call(config: Config) -> (Bench, Delivery, OpId) {
    let mut bench = Bench::started(config);
    let (op, _) = only_begin(&bench.after(Micros(1), called(1)));
    let row = call_delivery(1, 1);
    let started = bench.answer(op, begin(vec![row.clone()]));
    let execution = executions(&started)[0].0;
    (bench, row, execution)
}

#[test]
fn a_call_begins_at_once_then_its_effects_are_settled_then_it_is_replied_then_its_row_is_deleted() {
    let mut bench = Bench::started(config(|_| ()));
    let drained = bench.after(Micros(1), called(1));
    assert_eq!(drained.actions.len(), 1, "{:?}", drained.actions);
    let (op, calls) = only_begin(&drained);
    assert_eq!(calls, [call(1, 0)]);

    let row = call_delivery(1, 1);
    let drained = bench.answer(op, begin(vec![row.clone()]));
    let [(execution, delivery)] = &executions(&drained)[..] else { panic!("{:?}", drained.actions) };
    assert_eq!((**delivery).clone(), row);

    let drained = bench.end(*execution, response(201));
    let (op, settle, claim) = only_exchange(&drained);
    assert_eq!(settle, [verdict(&row, executed(None, 201, effects()))]);
    assert_eq!((claim, replies(&drained)), (vec![], vec![]), "no reply goes before the settlement is committed");

    let drained = bench.answer(op, exchanged());
    let [(op, 1, reply)] = &replies(&drained)[..] else { panic!("{:?}", drained.actions) };
    assert_eq!((reply.execution, reply.result.as_ref().unwrap().as_ref().unwrap().status), (Some(row.claim()), 201));
    assert_eq!(exchanges(&drained), vec![]);

    let drained = deliver(&mut bench, *op, true);
    let (op, settle, _) = only_exchange(&drained);
    assert_eq!(settle, [verdict(&row, Verdict::Replied)]);
    let drained = bench.answer(op, exchanged());
    let outcome = SyncOutcome { status: 201, error: None, message: None };
    let settled = drained.facts.iter().find(|fact| matches!(fact, Fact::DeliverySettled { .. }));
    let Some(Fact::DeliverySettled { ending, run, .. }) = settled else { panic!("{:?}", drained.facts) };
    assert_eq!((ending, run.is_some()), (&Ending::Replied { outcome }, true));
    assert_eq!(bench.dispatcher.view().held, 0);
}

#[test]
fn calls_that_arrive_while_a_begin_is_in_flight_share_the_next_begin() {
    let mut bench = Bench::started(config(|_| ()));
    let (op, _) = only_begin(&bench.after(Micros(1), called(1)));
    for seq in 2..=3 {
        assert_eq!(bench.after(Micros(1), called(seq)).actions, vec![]);
    }
    let (_, calls) = only_begin(&bench.answer(op, begin(vec![call_delivery(1, 1)])));
    assert_eq!(calls, [call(2, 0), call(3, 0)]);
}

#[test]
fn async_work_leaves_the_reserve_free_for_sync_calls() {
    let gate = GateLimits { permits: 3, sync_reserve: 1, async_reserve: 0 };
    let (mut bench, ops) = Bench::running(config(|c| c.gate = gate), (0..2).map(|n| delivery(n, n)).collect());
    assert_eq!(ops.len(), 2);
    let (op, calls) = only_begin(&bench.after(Micros(1), called(1)));
    assert_eq!(calls.len(), 1);
    let waiting = bench.after(Micros(1), called_in("b", 2));
    assert_eq!(waiting.actions, vec![], "the call waits, and nothing is written for it");
    bench.answer(op, begin(vec![call_delivery(1, 10)]));
    assert_eq!((bench.dispatcher.view().running, bench.dispatcher.view().calls_waiting), (3, 1));
    let (_, calls) = only_begin(&bench.end(ops[0], succeeded()));
    assert_eq!(apps(&calls), ["b"], "the free permit goes to the waiting call");
}

#[test]
fn sync_calls_leave_the_reserve_free_for_async_work() {
    let gate = GateLimits { permits: 3, sync_reserve: 0, async_reserve: 1 };
    let mut bench = Bench::started(config(|c| c.gate = gate));
    for (app, seq) in [("a", 1), ("b", 2)] {
        let (op, _) = only_begin(&bench.after(Micros(1), called_in(app, seq)));
        bench.answer(op, begin(vec![call_delivery(seq, seq as i64)]));
    }
    assert_eq!(bench.after(Micros(1), called_in("c", 3)).actions, vec![], "the call waits");
    let woken = bench.after(Micros(1), Input::WakeUp { lanes: vec![TriggerId(1)], discover: false });
    let (op, _, claim) = only_exchange(&woken);
    assert_eq!(quotas(&claim), [(1, 1)]);
    assert_eq!(executions(&bench.answer(op, claimed(vec![delivery(1, 10)]))).len(), 1);
}

/// A call of another app than [`call`].
fn called_in(app: &str, seq: u64) -> Input {
    let target = SyncTarget::Trigger { app: AppName::new(app).unwrap(), id: TriggerId(9) };
    Input::SyncCalled { call: Arc::new(SyncCall { target, ..call(seq, 0) }) }
}

fn apps(calls: &[SyncCall]) -> Vec<&str> {
    calls.iter().map(|call| call.target.app().as_str()).collect()
}

#[test]
fn the_calls_of_one_app_leave_a_permit_to_another_app() {
    let gate = GateLimits { permits: 16, sync_reserve: 0, async_reserve: 0 };
    let mut bench = Bench::started(config(|c| c.gate = gate));
    let (mut op, _) = only_begin(&bench.after(Micros(1), called_in("a", 1)));
    for seq in 2..=20 {
        assert_eq!(bench.after(Micros(1), called_in("a", seq)).actions, vec![]);
    }
    let (second, calls) = only_begin(&bench.answer(op, begin(vec![call_delivery(1, 1)])));
    assert_eq!(calls.len(), 13, "two of sixteen permits are for apps without a running call");
    op = second;
    let rows = (2..=14).map(|seq| call_delivery(seq, seq as i64)).collect();
    let running: Vec<OpId> = executions(&bench.answer(op, begin(rows))).into_iter().map(|(op, _)| op).collect();
    assert_eq!((running.len(), bench.dispatcher.view().calls_waiting), (13, 6));

    let (op, calls) = only_begin(&bench.after(Micros(1), called_in("b", 30)));
    assert_eq!(apps(&calls), ["b"]);
    bench.answer(op, begin(vec![call_delivery(30, 30)]));
    bench.after(Micros(1), called_in("b", 31));
    for (ended, begun) in [(0, &[][..]), (1, &["b"])] {
        let drained = bench.end(running[ended], succeeded());
        let calls: Vec<SyncCall> = drained
            .actions
            .iter()
            .flat_map(|action| match action {
                Action::CallStore { request: Request::BeginCalls { calls, .. }, .. } => calls.clone(),
                _ => Vec::new(),
            })
            .collect();
        assert_eq!(apps(&calls), begun, "the first permit fills the reserve, the second goes to the other app");
    }
}

#[test]
fn the_waiting_calls_of_one_app_leave_a_place_to_another_app() {
    let gate = GateLimits { permits: 1, sync_reserve: 0, async_reserve: 0 };
    let mut bench = Bench::started(config(|c| (c.gate, c.sync_queue_max) = (gate, 8)));
    let (op, _) = only_begin(&bench.after(Micros(1), called_in("a", 1)));
    bench.answer(op, begin(vec![call_delivery(1, 1)]));
    let refused = |drained: &Drained| drained.facts.iter().any(|fact| matches!(fact, Fact::CallRefused { .. }));
    for seq in 2..=8 {
        assert!(!refused(&bench.after(Micros(1), called_in("a", seq))), "{seq}");
    }
    assert!(refused(&bench.after(Micros(1), called_in("a", 9))), "the last place is for another app");
    assert!(!refused(&bench.after(Micros(1), called_in("b", 10))));
    assert!(refused(&bench.after(Micros(1), called_in("c", 11))), "eight calls wait");
}

#[test]
fn a_call_that_gets_no_permit_in_time_is_refused_with_a_retry_after() {
    let config = config(|c| (c.gate.permits, c.sync_wait_ms_max, c.sync_queue_max) = (1, 40, 1));
    let (mut bench, ..) = running_call(config);
    let drained = bench.after(Micros(0), called(2));
    assert_eq!(drained.idle.unwrap(), (Some(bench.now.plus(Micros::from_millis(40))), IdleReason::SyncWait));
    let drained = bench.after(Micros(0), called(3));
    assert_eq!(only_refusal(&drained), (3, ExecError::Overloaded, true), "the queue is full");
    assert_eq!(bench.after(Micros(39_999), Input::Tick).actions, vec![]);
    let drained = bench.after(Micros(1), Input::Tick);
    assert_eq!(only_refusal(&drained), (2, ExecError::Overloaded, true));
    assert_eq!(drained.actions.len(), 1, "nothing was written: {:?}", drained.actions);
}

#[test]
fn calls_that_arrive_together_keep_the_limit_of_the_queue() {
    let config = config(|c| (c.gate.permits, c.gate.sync_reserve, c.sync_queue_max) = (2, 0, 1));
    let mut bench = Bench::started(config);
    for (seq, app) in (1..).zip(["a", "b", "c", "d"]) {
        bench.dispatcher.handle(bench.now, called_in(app, seq));
    }
    let drained = bench.after(Micros(0), called_in("e", 5));
    assert_eq!(apps(&only_begin(&drained).1), ["a", "b"]);
    assert_eq!(bench.dispatcher.view().calls_waiting, 1);
    assert_eq!(replies(&drained).iter().map(|(_, seq, _)| *seq).collect::<Vec<_>>(), [4, 5]);
}

#[test]
fn a_call_that_the_store_refuses_is_replied_and_frees_its_permit() {
    for (refusal, error) in [
        (Refusal::Gone, ExecError::HandlerMissing),
        (Refusal::Paused, ExecError::Overloaded),
        (Refusal::Busy, ExecError::Overloaded),
        (Refusal::Denied(Standing::Disabled), ExecError::PrincipalDenied),
        (Refusal::KeyReused, ExecError::IdempotencyKeyReused),
        (Refusal::KeyInUse, ExecError::IdempotencyKeyInUse),
    ] {
        let mut bench = Bench::started(config(|_| ()));
        let (op, _) = only_begin(&bench.after(Micros(1), called(1)));
        let drained = bench.answer(
            op,
            Reply::BeginCalls(BeginCallsReply {
                now: NOW,
                deliveries: vec![],
                refused: vec![(caller(1), refusal)],
                repeated: vec![],
            }),
        );
        assert_eq!(only_refusal(&drained).1, error);
        assert_eq!(bench.dispatcher.view().running, 0);
    }
}

#[test]
fn a_call_in_a_chain_that_is_too_deep_is_refused() {
    let mut bench = Bench::started(config(|_| ()));
    let drained = bench.after(Micros(1), Input::SyncCalled { call: Arc::new(call(1, 17)) });
    assert_eq!(only_refusal(&drained), (1, ExecError::LoopRefused, false));
    assert_eq!(drained.actions.len(), 1);
    only_begin(&bench.after(Micros(1), Input::SyncCalled { call: Arc::new(call(2, 16)) }));
}

#[test]
fn nothing_is_written_for_a_caller_that_hangs_up_before_its_call_begins() {
    let (mut bench, ..) = running_call(config(|c| c.gate.permits = 1));
    bench.after(Micros(1), called(2));
    let drained = bench.after(Micros(1), Input::CallerGone { inbox: caller(2) });
    assert_eq!(drained.actions, vec![]);
    assert!(matches!(drained.facts[..], [Fact::CallRefused { failure: None, .. }]), "{:?}", drained.facts);
    assert_eq!(bench.dispatcher.view().calls_waiting, 0);
}

#[test]
fn a_call_whose_caller_hangs_up_while_it_begins_is_abandoned_and_not_executed() {
    let mut bench = Bench::started(config(|_| ()));
    let (op, _) = only_begin(&bench.after(Micros(1), called(1)));
    bench.after(Micros(1), Input::CallerGone { inbox: caller(1) });
    let row = call_delivery(1, 1);
    let drained = bench.answer(op, begin(vec![row.clone()]));
    let gone = Verdict::Abandoned { cause: AbandonCause::CallerGone };
    assert_eq!(only_exchange(&drained).1, [verdict(&row, gone)]);
    assert_eq!((executions(&drained).len(), bench.dispatcher.view().running), (0, 0));
}

#[test]
fn a_call_whose_caller_hangs_up_while_it_runs_is_settled_and_then_abandoned() {
    let (mut bench, row, execution) = running_call(config(|_| ()));
    assert_eq!(
        bench.after(Micros(1), Input::CallerGone { inbox: caller(1) }).actions,
        vec![],
        "the execution is not cancelled"
    );
    let (op, settle, _) = only_exchange(&bench.end(execution, response(200)));
    assert_eq!(settle, [verdict(&row, executed(None, 200, effects()))]);
    let (reply, ..) = replies(&bench.answer(op, exchanged()))[0];
    let (op, settle, _) = only_exchange(&deliver(&mut bench, reply, false));
    assert_eq!(settle, [verdict(&row, Verdict::Abandoned { cause: AbandonCause::CallerGone })]);
    let drained = bench.answer(op, exchanged());
    assert!(
        drained.facts.iter().any(|fact| matches!(fact, Fact::DeliverySettled { ending: Ending::Abandoned { .. }, .. }))
    );
    assert_eq!(bench.dispatcher.view().held, 0);
}

#[test]
fn a_begin_that_was_not_applied_is_sent_again_and_a_begin_of_unknown_fate_is_not() {
    let mut bench = Bench::started(config(|_| ()));
    let (op, _) = only_begin(&bench.after(Micros(1), called(1)));
    let drained = bench.fail(op, unavailable());
    assert_eq!(replies(&drained), vec![]);
    assert_eq!(bench.dispatcher.view().running, 0, "its permit is free until the next begin");
    let (op, calls) = only_begin(&bench.after(Micros::from_millis(100), Input::Tick));
    assert_eq!(calls, [call(1, 0)]);
    let drained = bench.fail(op, StoreError::unknown("reset"));
    assert_eq!(only_refusal(&drained), (1, ExecError::Lost, false));
    let (view, next) = (bench.dispatcher.view(), bench.after(Micros::from_secs(1), Input::Tick));
    assert_eq!((view.running, view.calls_waiting), (0, 0));
    assert!(!next.actions.iter().any(|a| matches!(a, Action::CallStore { request: Request::BeginCalls { .. }, .. })));
}

#[test]
fn a_failure_is_replied_with_its_status_and_applies_no_effects() {
    for (outcome, error, status) in [
        (failed(ExecError::ScriptError), ExecError::ScriptError, 500),
        (failed(ExecError::ScriptUnavailable), ExecError::ScriptUnavailable, 503),
        (failed(ExecError::EndpointStatus(404)), ExecError::EndpointStatus(404), 502),
        (response(99), ExecError::InvalidReply, 502),
        (with_header("x-a", "b\r\nset-cookie: c"), ExecError::InvalidReply, 502),
        (with_header("Content-Length", "1"), ExecError::InvalidReply, 502),
        (with_header("a b", "c"), ExecError::InvalidReply, 502),
        (Outcome::Succeeded { effects: effects(), reply: None }, ExecError::InvalidReply, 502),
    ] {
        let (mut bench, _, execution) = running_call(config(|_| ()));
        let (op, settle, _) = only_exchange(&bench.end(execution, outcome));
        let Verdict::Executed { effects, outcome, .. } = &settle[0].verdict else { panic!("{settle:?}") };
        assert_eq!((effects.is_empty(), outcome.error, outcome.status), (true, Some(error), status));
        assert_eq!(only_refusal(&bench.answer(op, exchanged())).1, error);
    }
}

#[test]
fn a_call_with_conflicting_effects_runs_again_at_once_and_fails_after_twenty_times() {
    let (mut bench, row, mut execution) = running_call(config(|_| ()));
    for _ in 0..20 {
        let (op, ..) = only_exchange(&bench.end(execution, response(200)));
        let conflicted = vec![claim_of(&row)];
        let answer = Reply::Exchange(ExchangeReply {
            now: NOW,
            fenced: vec![],
            conflicted,
            claimed: vec![],
            suspects: 0,
            is_cut: false,
            woken_lanes: vec![],
        });
        let drained = bench.answer(op, answer);
        assert_eq!(replies(&drained), vec![]);
        execution = executions(&drained)[0].0;
    }
    let (op, ..) = only_exchange(&bench.end(execution, response(200)));
    let conflicted = vec![claim_of(&row)];
    let answer = Reply::Exchange(ExchangeReply {
        now: NOW,
        fenced: vec![],
        conflicted,
        claimed: vec![],
        suspects: 0,
        is_cut: false,
        woken_lanes: vec![],
    });
    let (op, settle, _) = only_exchange(&bench.answer(op, answer));
    assert!(matches!(&settle[0].verdict, Verdict::Executed { outcome, .. } if outcome.status == 409), "{settle:?}");
    assert_eq!(only_refusal(&bench.answer(op, exchanged())).1, ExecError::EffectsConflict);
}

#[test]
fn calls_that_conflicted_run_again_one_at_a_time() {
    let mut bench = Bench::started(config(|_| ()));
    let (op, _) = only_begin(&bench.after(Micros(1), called(1)));
    bench.after(Micros(1), called(2));
    let (first, second) = (call_delivery(1, 1), call_delivery(2, 2));
    let drained = bench.answer(op, begin(vec![first.clone()]));
    let mut running = vec![executions(&drained)[0].0];
    let drained = bench.answer(only_begin(&drained).0, begin(vec![second.clone()]));
    running.push(executions(&drained)[0].0);
    let (op, ..) = only_exchange(&bench.end(running[0], response(200)));
    assert_eq!(bench.end(running[1], response(200)).actions, vec![], "its settlement goes with the next exchange");
    let conflict = |claim| {
        Reply::Exchange(ExchangeReply {
            now: NOW,
            fenced: vec![],
            conflicted: vec![claim],
            claimed: vec![],
            suspects: 0,
            is_cut: false,
            woken_lanes: vec![],
        })
    };
    let drained = bench.answer(op, conflict(first.claim()));
    let again = executions(&drained)[0].0;
    let drained = bench.answer(only_exchange(&drained).0, conflict(second.claim()));
    assert_eq!(executions(&drained), [], "the first call still runs");
    let (op, ..) = only_exchange(&bench.end(again, response(200)));
    let drained = bench.answer(op, exchanged());
    assert_eq!((replies(&drained).len(), executions(&drained).len()), (1, 1), "the second call runs after the first");
}

#[test]
fn a_caller_whose_row_was_claimed_by_another_daemon_gets_the_error_lost() {
    let (mut bench, row, execution) = running_call(config(|_| ()));
    let (op, ..) = only_exchange(&bench.end(execution, response(200)));
    let fenced = vec![claim_of(&row)];
    let answer = Reply::Exchange(ExchangeReply {
        now: NOW,
        fenced,
        conflicted: vec![],
        claimed: vec![],
        suspects: 0,
        is_cut: false,
        woken_lanes: vec![],
    });
    assert_eq!(only_refusal(&bench.answer(op, answer)), (1, ExecError::Lost, false));
    assert_eq!(bench.dispatcher.view().held, 0);
}

#[test]
fn an_execution_that_overran_is_replied_as_a_timeout() {
    let (mut bench, ..) = running_call(config(|c| c.overrun_ms = 100));
    let drained = bench.after(Micros::from_millis(2_100), Input::Tick);
    assert!(drained.actions.iter().any(|action| matches!(action, Action::Cancel { .. })));
    let (op, settle, _) = only_exchange(&drained);
    assert!(matches!(&settle[0].verdict, Verdict::Executed { outcome, .. } if outcome.status == 504), "{settle:?}");
    assert_eq!(only_refusal(&bench.answer(op, exchanged())).1, ExecError::Timeout);
}

#[test]
fn a_caller_whose_handler_did_not_start_may_call_again_and_its_row_is_not_executed_again() {
    let (mut bench, row, op) = running_call(config(|_| ()));
    let drained = bench.end(op, Outcome::NotStarted { reason: "no thread".to_owned() });
    let (op, settle, _) = only_exchange(&drained);
    let message = "the handler did not start: no thread; nothing was applied; call again later";
    let overloaded = executed(Some((ExecError::Overloaded, message)), 503, Effects::default());
    assert_eq!(settle, [verdict(&row, overloaded)]);
    let drained = bench.answer(op, exchanged());
    assert_eq!(only_refusal(&drained), (1, ExecError::Overloaded, true));
    let (_, settle, _) = only_exchange(&deliver(&mut bench, replies(&drained)[0].0, true));
    assert_eq!(settle, [verdict(&row, Verdict::Replied)]);
}

#[test]
fn a_shutdown_refuses_waiting_calls_and_replies_to_calls_that_run_too_long() {
    let (mut bench, row, _) = running_call(config(|c| (c.gate.permits, c.shutdown_grace_ms) = (1, 500)));
    bench.after(Micros(1), called(2));
    let drained = bench.after(Micros(1), Input::ShutdownRequested);
    assert_eq!(only_refusal(&drained).1, ExecError::Overloaded);
    deliver(&mut bench, replies(&drained)[0].0, true);
    let drained = bench.after(Micros(1), called(3));
    assert_eq!(only_refusal(&drained).0, 3, "a call that arrives during the shutdown is refused");
    deliver(&mut bench, replies(&drained)[0].0, false);

    let drained = bench.after(Micros::from_millis(500), Input::Tick);
    let (op, settle, _) = only_exchange(&drained);
    let Verdict::Executed { effects, outcome, .. } = &settle[0].verdict else { panic!("{settle:?}") };
    assert_eq!((effects.is_empty(), outcome.error), (true, Some(ExecError::Lost)));
    let replies = replies(&bench.answer(op, exchanged()));
    let (op, settle, _) = only_exchange(&deliver(&mut bench, replies[0].0, true));
    assert_eq!(settle, [verdict(&row, Verdict::Replied)]);
    assert_eq!(bench.answer(op, exchanged()).actions, vec![]);
    assert!(bench.dispatcher.view().stopped);
}

#[test]
fn a_second_call_of_one_inbox_is_rejected() {
    let mut bench = Bench::started(config(|_| ()));
    bench.after(Micros(1), called(1));
    assert_eq!(bench.dispatcher.handle(bench.now, called(1)), Disposition::Rejected);
}

#[test]
fn the_store_keeps_the_reply_of_a_keyed_call_for_its_repetition() {
    let key = IdempotencyKey { key: "k".to_owned(), digest: "d".to_owned() };
    let keyed = |seq| Arc::new(SyncCall { idempotency_key: Some(key.clone()), ..call(seq, 0) });
    for (outcome, kept) in [(response(201), Some(201)), (failed(ExecError::ScriptError), None)] {
        let mut bench = Bench::started(config(|_| ()));
        let (op, _) = only_begin(&bench.after(Micros(1), Input::SyncCalled { call: keyed(1) }));
        let execution = executions(&bench.answer(op, begin(vec![call_delivery(1, 1)])))[0].0;
        let (op, settle, _) = only_exchange(&bench.end(execution, outcome));
        let Verdict::Executed { reply, .. } = &settle[0].verdict else { panic!("{settle:?}") };
        assert_eq!(reply.as_ref().map(|reply| reply.status), kept);
        bench.answer(op, exchanged());

        let earlier = SyncReply { execution: Some(call_delivery(1, 1).claim()), result: Ok(None) };
        let (op, _) = only_begin(&bench.after(Micros(1), Input::SyncCalled { call: keyed(2) }));
        let repeated = vec![(caller(2), earlier.clone())];
        let drained = bench
            .answer(op, Reply::BeginCalls(BeginCallsReply { now: NOW, deliveries: vec![], refused: vec![], repeated }));
        assert_eq!(replies(&drained).pop().map(|(_, seq, reply)| (seq, reply)), Some((2, earlier)));
        assert_eq!((bench.dispatcher.view().running, executions(&drained)), (0, vec![]));
    }
}
