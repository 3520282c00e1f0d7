//! Large settlements, and settlements that the store refuses for good.

use crate::bench::*;
use crate::calls::{begin, called, only_begin, only_refusal};
use crate::fixtures::*;
use tidegate_core::*;

const KIB: usize = 1_024;

/// A success that stages an event with `bytes` bytes of data.
fn fat(bytes: usize) -> Outcome {
    let data = Json::from_store(format!("\"{}\"", "x".repeat(bytes - 2)));
    let event = NewEvent { data, ..effects().events.remove(0) };
    Outcome::Succeeded { effects: Effects { events: vec![event], ..Effects::default() }, reply: None }
}

fn unstorable() -> StoreError {
    StoreError::not_applied(StoreErrorKind::Unstorable, "a constraint\0 of the store")
}

fn rows(count: i64) -> Vec<Delivery> {
    (1..=count).map(|id| delivery(1, id)).collect()
}

fn ids(settle: &[Settlement]) -> Vec<i64> {
    settle.iter().map(|one| one.claim.delivery.0).collect()
}

/// A dispatcher with an exchange in flight that settles row 1, and the running rows 2 to `count`.
fn with_an_exchange_in_flight(count: i64, change: impl FnOnce(&mut ConfigSpec)) -> (Bench, OpId, Vec<OpId>) {
    let config = config(|spec| {
        spec.gate.permits = 32;
        change(spec);
    });
    let (mut bench, mut ops) = Bench::running(config, rows(count));
    let first = ops.remove(0);
    let (exchange, settle, _) = only_exchange(&bench.end(first, succeeded()));
    assert_eq!(ids(&settle), [1]);
    (bench, exchange, ops)
}

#[test]
fn an_exchange_sends_its_largest_settlement_and_as_many_bytes_of_others_as_it_may() {
    let (mut bench, exchange, ops) =
        with_an_exchange_in_flight(8, |spec| (spec.exchange_bytes_max, spec.effects_bytes_max) = (100 << 10, 1 << 20));
    let sizes = [60, 400, 30, 50, 90, 1, 1];
    for (op, kib) in ops.into_iter().zip(sizes) {
        assert_eq!(bench.end(op, fat(kib * KIB)).actions, []);
    }
    let (exchange, settle, _) = only_exchange(&bench.answer(exchange, exchanged()));
    assert_eq!(ids(&settle), [2, 3, 4, 7, 8], "60 + 30 + 1 + 1 KiB beside 400 KiB");
    let (exchange, settle, _) = only_exchange(&bench.answer(exchange, exchanged()));
    assert_eq!(ids(&settle), [5, 6], "50 beside 90 KiB");
    assert_eq!(exchanges(&bench.answer(exchange, exchanged())).len(), 0);
    assert_eq!(bench.dispatcher.view().held, 0);
}

#[test]
fn an_execution_with_too_many_bytes_of_effects_fails_for_good() {
    let change = |spec: &mut ConfigSpec| {
        spec.gate.permits = 4;
        spec.effects_bytes_max = 10_000;
    };
    let (mut bench, ops) = Bench::running(config(change), rows(2));
    let limit = 10_000 - effects().events[0].event_type.as_str().len();
    let (exchange, settle, _) = only_exchange(&bench.end(ops[0], fat(limit)));
    assert_eq!(settle[0].verdict.name(), "done", "just as many bytes as allowed");
    bench.answer(exchange, exchanged());
    let (_, settle, _) = only_exchange(&bench.end(ops[1], fat(limit + 1)));
    let Verdict::Dead { reason, failed: Some(failed), .. } = &settle[0].verdict else { panic!("{settle:?}") };
    assert_eq!((*reason, failed.error), (DeadReason::Permanent, ExecError::PayloadTooLarge));
    assert_eq!(
        failed.message,
        "the handler staged 10001 bytes of keys, values and events, at most 10000 are allowed \
         (scripts.effects_bytes_max); nothing was applied"
    );
}

#[test]
fn small_settlements_and_claims_do_not_wait_for_a_heavy_exchange() {
    let (mut bench, exchange, ops) = with_an_exchange_in_flight(5, |_| ());
    for (op, kib) in ops[..2].iter().zip([6_000, 5_000]) {
        assert_eq!(bench.end(*op, fat(kib * KIB)).actions.len(), 0);
    }
    let (heavy, settle, _) = only_exchange(&bench.answer(exchange, exchanged()));
    assert_eq!(ids(&settle), [2], "one heavy exchange at a time");
    let (light, settle, _) = only_exchange(&bench.end(ops[2], fat(KIB)));
    assert_eq!(ids(&settle), [4]);
    let drained = bench.answer(light, exchanged());
    assert_eq!(drained.actions.len(), 0, "row 3 waits for the heavy exchange");
    let woken = Input::WakeUp { lanes: vec![TriggerId(2)], discover: false };
    let (light, settle, claim) = only_exchange(&bench.after(Micros(1), woken));
    assert_eq!((ids(&settle), claim.len()), (vec![], 1));
    assert_eq!(bench.answer(light, exchanged()).actions.len(), 0);
    let (_, settle, _) = only_exchange(&bench.answer(heavy, exchanged()));
    assert_eq!(ids(&settle), [3]);
}

/// A store that refuses each settlement of the rows `refuses`, and applies all others. Returns the
/// rows in the order in which they were applied, and the number of refused exchanges.
fn play(bench: &mut Bench, mut sent: Drained, refuses: impl Fn(&Settlement) -> bool) -> (Vec<Settlement>, u32) {
    let (mut applied, mut refusals) = (Vec::new(), 0);
    while let Some((op, settle, claim)) = exchanges(&sent).into_iter().next() {
        sent = if settle.iter().any(&refuses) {
            refusals += 1;
            assert!(refusals < 100, "the same settlements are sent again and again");
            let drained = bench.fail(op, unstorable());
            assert!(!drained.facts.iter().any(|fact| matches!(fact, Fact::StoreFailed { .. })), "the store answers");
            drained
        } else {
            assert!(refusals == 0 || claim.is_empty() || settle.is_empty(), "isolated settlements go without claims");
            applied.extend(settle);
            bench.answer(op, exchanged())
        };
        assert!(exchanges(&sent).len() <= 2);
        while let [_, (op, settle, _)] = &exchanges(&sent)[..] {
            // The second exchange only claims, because the first one claims nothing.
            assert_eq!(*settle, []);
            let first = sent.actions.remove(0);
            let more = bench.answer(*op, exchanged());
            sent = Drained { actions: [first].into_iter().chain(more.actions).collect(), ..more };
        }
    }
    (applied, refusals)
}

#[test]
fn a_refused_settlement_becomes_a_dead_letter_and_takes_no_other_with_it() {
    let (mut bench, exchange, ops) = with_an_exchange_in_flight(21, |_| ());
    for op in ops {
        assert_eq!(bench.end(op, fat(100)).actions, []);
    }
    let sent = bench.answer(exchange, exchanged());
    let is_refused = |one: &Settlement| one.claim.delivery.0 == 14 && one.verdict.name() == "done";
    let (applied, refusals) = play(&mut bench, sent, is_refused);
    let mut done: Vec<i64> = ids(&applied);
    done.sort_unstable();
    assert_eq!(done, (2..=21).collect::<Vec<_>>(), "each row is settled once");
    assert!((2..=7).contains(&refusals), "{refusals} refusals for 20 settlements");
    let [dead] = applied.iter().filter(|one| one.verdict.name() != "done").collect::<Vec<_>>()[..] else {
        panic!("{applied:?}")
    };
    let Verdict::Dead { reason, attempts: 1, failed: Some(failed), .. } = &dead.verdict else { panic!("{dead:?}") };
    assert_eq!((dead.claim.delivery.0, *reason, failed.error), (14, DeadReason::Permanent, ExecError::StoreRefused));
    assert!(failed.message.ends_with("nothing that the handler wrote was applied: a constraint\u{fffd} of the store"));
    assert_eq!(bench.dispatcher.view().held, 0);
}

#[test]
fn a_letter_that_is_refused_too_gets_a_fixed_text_and_is_dropped_at_last() {
    let is_refused_while = |letters: u32| {
        move |one: &Settlement| match &one.verdict {
            Verdict::Dead { failed: Some(failed), .. } if letters == 1 => failed.message.contains("constraint"),
            _ => true,
        }
    };
    let (mut bench, ops) = Bench::running(config(|_| ()), rows(1));
    let sent = bench.end(ops[0], fat(100));
    let (applied, refusals) = play(&mut bench, sent, is_refused_while(1));
    let [Settlement { verdict: Verdict::Dead { failed: Some(failed), .. }, .. }] = &applied[..] else {
        panic!("{applied:?}")
    };
    assert_eq!(failed.message, "the store refused the settlement and the record of its failure; nothing was applied");
    assert_eq!(refusals, 3, "with others, alone, and the first letter");

    let (mut bench, ops) = Bench::running(config(|_| ()), rows(1));
    let sent = bench.end(ops[0], fat(100));
    let (applied, refusals) = play(&mut bench, sent, is_refused_while(2));
    assert_eq!((applied, refusals), (vec![], 4));
    assert_eq!(bench.dispatcher.view().held, 0, "the row is tried again after its lease");
}

#[test]
fn a_refused_failure_keeps_its_reason_and_a_dead_letter_handler_marks_its_letter() {
    let handler = Delivery { handles_letter: Some(DeadLetterId(5)), policy: policy(1), ..delivery(1, 1) };
    for (row, outcome, expected) in [
        (delivery(1, 1), failed(ExecError::HandlerMissing), "handler_missing store_refused"),
        (delivery(1, 1), failed(ExecError::ScriptError), "permanent store_refused"),
        (handler.clone(), fat(100), "handler_failed store_refused"),
        (handler, failed(ExecError::ScriptError), "handler_failed store_refused"),
    ] {
        let (mut bench, ops) = Bench::running(config(|_| ()), vec![row]);
        let sent = bench.end(ops[0], outcome);
        let is_first = |one: &Settlement| match &one.verdict {
            Verdict::Dead { failed: Some(failed), .. } | Verdict::HandlerFailed { failed } => {
                failed.error != ExecError::StoreRefused
            }
            _ => true,
        };
        let (applied, _) = play(&mut bench, sent, is_first);
        let found = match &applied[0].verdict {
            Verdict::Dead { reason, failed: Some(failed), .. } => format!("{} {}", reason.as_str(), failed.error),
            Verdict::HandlerFailed { failed } => format!("handler_failed {}", failed.error),
            other => panic!("{other:?}"),
        };
        assert_eq!(found, expected);
    }
}

#[test]
fn the_caller_of_a_refused_execution_gets_an_error() {
    let mut bench = Bench::started(config(|_| ()));
    let (op, _) = only_begin(&bench.after(Micros(1), called(1)));
    let started = bench.answer(op, begin(vec![call_delivery(1, 1)]));
    let [(op, _)] = executions(&started)[..] else { panic!("{:?}", started.actions) };
    let (op, _, _) = only_exchange(&bench.end(op, fat(100)));
    let (op, _, _) = only_exchange(&bench.fail(op, unstorable()));
    let (op, settle, _) = only_exchange(&bench.fail(op, unstorable()));
    let Verdict::Executed { effects, outcome, reply: None } = &settle[0].verdict else { panic!("{settle:?}") };
    assert_eq!((effects.is_empty(), outcome.status, outcome.name()), (true, 500, "store_refused"));
    assert_eq!(only_refusal(&bench.answer(op, exchanged())), (1, ExecError::StoreRefused, false));
}

#[test]
fn calls_that_are_refused_together_begin_alone_and_one_that_is_refused_alone_fails() {
    let mut bench = Bench::started(config(|_| ()));
    let (first, _) = only_begin(&bench.after(Micros(1), called(1)));
    assert_eq!(bench.after(Micros(1), called(2)).actions, []);
    assert_eq!(bench.after(Micros(1), called(3)).actions, []);
    let started = bench.answer(first, begin(vec![call_delivery(1, 1)]));
    let (both, calls) = only_begin(&started);
    assert_eq!(calls.len(), 2);
    let (op, calls) = only_begin(&bench.fail(both, unstorable()));
    assert_eq!(calls.iter().map(|call| call.inbox.seq).collect::<Vec<_>>(), [2]);
    let drained = bench.fail(op, unstorable());
    assert_eq!(only_refusal(&drained), (2, ExecError::StoreRefused, false));
    let (op, calls) = only_begin(&drained);
    assert_eq!(calls.iter().map(|call| call.inbox.seq).collect::<Vec<_>>(), [3]);
    assert_eq!(executions(&bench.answer(op, begin(vec![call_delivery(3, 3)]))).len(), 1);
}

#[test]
fn the_lane_after_a_cut_claim_is_the_first_of_the_next_claim() {
    let mut bench = Bench::started(config(|spec| spec.gate.permits = 16));
    let lanes = [1, 2, 3].map(TriggerId).to_vec();
    let (op, _, claim) = only_exchange(&bench.after(Micros(1), Input::WakeUp { lanes, discover: false }));
    assert_eq!(quotas(&claim).iter().map(|(lane, _)| *lane).collect::<Vec<_>>(), [1, 2, 3]);
    let mut reply = exchange_reply(vec![delivery(1, 1), delivery(1, 2)]);
    reply.is_cut = true;
    let (op, _, claim) = only_exchange(&bench.answer(op, Reply::Exchange(reply)));
    assert_eq!(quotas(&claim).iter().map(|(lane, _)| *lane).collect::<Vec<_>>(), [2, 3, 1], "all may have more rows");
    assert_eq!(exchanges(&bench.answer(op, exchanged())).len(), 0, "an answer that was not cut is complete");
}
