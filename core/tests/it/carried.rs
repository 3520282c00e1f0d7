//! Rows that an emission has claimed for the dispatcher, in the transaction that wrote them.

use crate::bench::*;
use crate::fixtures::*;
use tidegate_core::*;

fn carried(bench: &mut Bench, claimed: Vec<Delivery>) -> Drained {
    let begun_at = bench.now;
    bench.after(Micros(700), Input::InlineClaim { claimed, begun_at })
}

#[test]
fn what_an_emission_has_claimed_is_executed_without_a_question() {
    let mut bench = Bench::started(config(|_| ()));
    assert_eq!(bench.dispatcher.view().inline_room, 3, "of four permits one is left to other lanes");

    let drained = carried(&mut bench, vec![delivery(1, 1)]);
    assert!(drained.facts.contains(&Fact::InlineClaim { claimed: 1 }));
    let [(op, _)] = executions(&drained)[..] else { panic!("{:?}", drained.actions) };
    assert_eq!(drained.actions.len(), 1);
    assert_eq!(bench.dispatcher.view().inline_room, 2, "three are free, and its lane may run two more");

    let (op, settle, claim) = only_exchange(&bench.end(op, succeeded()));
    assert_eq!((settle, claim), (vec![done(&delivery(1, 1))], vec![]));
    bench.answer(op, exchanged());
    assert_eq!(bench.dispatcher.view().held, 0);
}

fn room(bench: &Bench) -> (u32, Vec<TriggerId>) {
    (bench.dispatcher.view().inline_room, bench.dispatcher.closed_lanes())
}

#[test]
fn a_lane_in_which_something_waits_is_closed_and_the_others_have_the_room() {
    let closed = vec![TriggerId(1)];
    let mut bench = Bench::started(config(|_| ()));
    let woken = bench.after(Micros(1), Input::WakeUp { lanes: vec![TriggerId(1)], discover: false });
    assert_eq!(room(&bench), (1, closed.clone()), "of four permits three are asked for");
    let (op, _, _) = only_exchange(&woken);
    // One more than its lane may run at once.
    bench.answer(op, claimed((1..=4).map(|id| delivery(1, id)).collect()));
    assert_eq!((bench.dispatcher.view().queued, room(&bench)), (1, (1, closed)));
}

/// What has waited since before it began goes first, and what starts must know what time it is.
#[test]
fn there_is_no_room_before_the_store_has_said_anything() {
    let mut bench = Bench::new(config(|_| ()));
    let op = only_discover(&bench.drain());
    assert_eq!(bench.dispatcher.view().inline_room, 0);
    bench.answer(op, discovered(&[]));
    assert_eq!(bench.dispatcher.view().inline_room, 3);
}

#[test]
fn a_lane_that_runs_as_much_as_it_may_is_closed() {
    let (mut bench, ops) = Bench::running(config(|_| ()), (1..=3).map(|id| delivery(1, id)).collect());
    assert_eq!(room(&bench), (1, vec![TriggerId(1)]), "its own rows would wait");
    let (op, _, _) = only_exchange(&bench.end(ops[0], succeeded()));
    bench.answer(op, exchanged());
    assert_eq!(room(&bench), (1, vec![]), "two are free, and its lane may run one more");
}

/// An emission may write many rows of one lane.
#[test]
fn there_is_no_more_room_than_any_lane_may_run_more() {
    let (bench, _) = Bench::running(config(|c| c.gate.permits = 8), vec![delivery(1, 1), delivery(1, 2)]);
    assert_eq!(room(&bench), (5, vec![]), "six permits are free, and seven may run of a lane");
}

#[test]
fn an_emission_knows_few_closed_lanes_and_where_there_are_more_there_is_no_room() {
    for (many, expected) in [(64, 35), (65, 0)] {
        let mut bench = Bench::started(config(|c| {
            c.gate.permits = 100;
            c.batch_max = 65;
        }));
        let lanes: Vec<TriggerId> = (1..=many).map(TriggerId).collect();
        bench.after(Micros(1), Input::WakeUp { lanes: lanes.clone(), discover: false });
        assert_eq!(room(&bench), (expected, lanes), "65 rows are asked for");
    }
}

#[test]
fn there_is_no_room_beside_a_store_that_fails_nor_at_the_end() {
    let mut bench = Bench::started(config(|_| ()));
    let op = only_discover(&bench.after(Micros::from_millis(100), Input::Tick));
    bench.fail(op, unavailable());
    assert_eq!(bench.dispatcher.view().inline_room, 0);

    let (mut bench, _) = Bench::running(config(|_| ()), vec![delivery(1, 1)]);
    assert!(bench.dispatcher.view().inline_room > 0);
    bench.after(Micros(1), Input::ShutdownRequested);
    assert_eq!(bench.dispatcher.view().inline_room, 0);
}

#[test]
fn what_comes_after_the_shutdown_was_asked_for_is_given_back() {
    let (mut bench, _) = Bench::running(config(|_| ()), vec![delivery(1, 1)]);
    bench.after(Micros(1), Input::ShutdownRequested);
    let (_, settle, _) = only_exchange(&carried(&mut bench, vec![delivery(1, 2)]));
    let released = Settlement { claim: claim_of(&delivery(1, 2)), verdict: Verdict::Deferred { delay: Micros::ZERO } };
    assert_eq!(settle, [released]);
}

/// Between a claim and its rows there may have been a pause of the whole process.
#[test]
fn a_lease_counts_from_before_it_was_asked_for() {
    let lease = Micros::from_millis(10_000);
    for (pause, starts) in [(Micros(lease.0 - 1), 1), (lease, 0)] {
        let mut bench = Bench::started(config(|c| c.lease_ms = 10_000));
        let begun_at = bench.now;
        let drained = bench.after(pause, Input::InlineClaim { claimed: vec![delivery(1, 1)], begun_at });
        assert_eq!(executions(&drained).len(), starts);
        let lost = drained.facts.iter().any(|fact| matches!(fact, Fact::LeaseLost { .. }));
        assert_eq!(lost, starts == 0);
    }
}

#[test]
fn an_older_claim_of_a_row_does_not_replace_a_later_one() {
    let (mut bench, _) = Bench::running(config(|_| ()), vec![Delivery { lease: Lease(2), ..delivery(1, 1) }]);
    let drained = carried(&mut bench, vec![delivery(1, 1)]);
    assert_eq!(drained.actions, []);
    assert!(drained.facts.iter().any(|fact| matches!(fact, Fact::LeaseLost { .. })), "{:?}", drained.facts);
}
