//! Inline claims: rows that were claimed by the transaction that wrote them, and the room for them.

use crate::bench::*;
use crate::fixtures::*;
use std::sync::Arc;
use tidegate_core::*;

fn inline_claim(bench: &mut Bench, claimed: Vec<Delivery>) -> Drained {
    let begun_at = bench.now;
    let claimed = claimed.into_iter().map(Arc::new).collect();
    bench.after(Micros(700), Input::InlineClaim { claimed, begun_at })
}

#[test]
fn rows_of_an_inline_claim_are_executed_without_a_store_call() {
    let mut bench = Bench::started(config(|_| ()));
    assert_eq!(bench.dispatcher.view().inline_room, 3, "one of four permits is left to other lanes");

    let drained = inline_claim(&mut bench, vec![delivery(1, 1)]);
    assert!(drained.facts.contains(&Fact::InlineClaim { claimed: 1 }));
    let [(op, _)] = executions(&drained)[..] else { panic!("{:?}", drained.actions) };
    assert_eq!(drained.actions.len(), 1);
    assert_eq!(bench.dispatcher.view().inline_room, 2, "three permits are free, and the lane may run two more rows");

    let (op, settle, claim) = only_exchange(&bench.end(op, succeeded()));
    assert_eq!((settle, claim), (vec![done(&delivery(1, 1))], vec![]));
    bench.answer(op, exchanged());
    assert_eq!(bench.dispatcher.view().held, 0);
}

/// The rows of the inline room, and the closed lanes.
fn room(bench: &Bench) -> (u32, Vec<TriggerId>) {
    let InlineRoom { rows, closed_lanes } = bench.dispatcher.inline_room();
    assert_eq!(rows, bench.dispatcher.view().inline_room);
    assert!(rows > 0 || closed_lanes.is_empty(), "an empty room needs no closed lanes: {closed_lanes:?}");
    (rows, closed_lanes)
}

#[test]
fn a_lane_with_waiting_rows_is_closed_and_the_room_is_for_other_lanes() {
    let closed = vec![TriggerId(1)];
    let mut bench = Bench::started(config(|_| ()));
    let woken = bench.after(Micros(1), Input::WakeUp { lanes: vec![TriggerId(1)], discover: false });
    assert_eq!(room(&bench), (1, closed.clone()), "three of four permits are requested");
    let (op, _, _) = only_exchange(&woken);
    // One row more than the lane may run at once.
    bench.answer(op, claimed((1..=4).map(|id| delivery(1, id)).collect()));
    assert_eq!((bench.dispatcher.view().queued, room(&bench)), (1, (1, closed)));
}

#[test]
fn rows_of_an_inline_claim_in_flight_count_as_requested() {
    let mut bench = Bench::started(config(|c| c.gate.permits = 16));
    assert_eq!(bench.dispatcher.view().inline_room, 14);
    bench.after(Micros(1), Input::InlineClaimInFlight { rows: 10 });
    assert_eq!((bench.dispatcher.view().inline_rows, bench.dispatcher.view().inline_room), (10, 4));
    let woken = bench.after(Micros(1), Input::WakeUp { lanes: vec![TriggerId(2)], discover: false });
    let (op, _, claim) = only_exchange(&woken);
    assert_eq!(quotas(&claim), [(2, 4)], "six permits are not requested, and two of them are left to other lanes");
    bench.answer(op, exchanged());

    inline_claim(&mut bench, vec![delivery(1, 1)]);
    assert_eq!(bench.dispatcher.view().inline_rows, 0);
    bench.after(Micros(1), Input::InlineClaimInFlight { rows: 10 });
    let drained = bench.after(Micros(1), Input::InlineClaimInFlight { rows: 0 });
    assert_eq!((drained.actions, bench.dispatcher.view().inline_rows), (vec![], 0));
}

/// Rows that waited before the start go first, and the start of an execution needs the store's
/// clock.
#[test]
fn there_is_no_room_before_the_first_answer_of_the_store() {
    let mut bench = Bench::new(config(|_| ()));
    let op = only_discover(&bench.drain());
    assert_eq!(bench.dispatcher.view().inline_room, 0);
    bench.answer(op, discovered(&[]));
    assert_eq!(bench.dispatcher.view().inline_room, 3);
}

#[test]
fn a_lane_that_runs_its_whole_share_is_closed() {
    let (mut bench, ops) = Bench::running(config(|_| ()), (1..=3).map(|id| delivery(1, id)).collect());
    assert_eq!(room(&bench), (1, vec![TriggerId(1)]), "a new row of the lane would wait");
    let (op, _, _) = only_exchange(&bench.end(ops[0], succeeded()));
    bench.answer(op, exchanged());
    assert_eq!(room(&bench), (1, vec![]), "two permits are free, and the lane may run one more row");
}

/// A transaction may write many rows of one lane.
#[test]
fn the_room_is_at_most_the_rows_that_every_open_lane_could_start() {
    let (bench, _) = Bench::running(config(|c| c.gate.permits = 8), vec![delivery(1, 1), delivery(1, 2)]);
    assert_eq!(room(&bench), (5, vec![]), "six permits are free, and a lane may run seven rows: five more");
}

#[test]
fn there_is_no_room_beside_more_than_64_closed_lanes() {
    // 36 permits are not requested, and 12 of them are left to other lanes.
    for (count, expected) in [(64, 24), (65, 0)] {
        let mut bench = Bench::started(config(|c| {
            c.gate.permits = 100;
            c.batch_max = 65;
        }));
        let lanes: Vec<TriggerId> = (1..=count).map(TriggerId).collect();
        bench.after(Micros(1), Input::WakeUp { lanes: lanes.clone(), discover: false });
        let closed = if expected > 0 { lanes } else { Vec::new() };
        assert_eq!(room(&bench), (expected, closed), "{count} lanes");
    }
}

#[test]
fn there_is_no_room_after_a_failed_store_call_or_during_a_shutdown() {
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
fn rows_of_an_inline_claim_are_released_during_a_shutdown() {
    let (mut bench, _) = Bench::running(config(|_| ()), vec![delivery(1, 1)]);
    bench.after(Micros(1), Input::ShutdownRequested);
    let (_, settle, _) = only_exchange(&inline_claim(&mut bench, vec![delivery(1, 2)]));
    let released = Settlement { claim: claim_of(&delivery(1, 2)), verdict: Verdict::Deferred { delay: Micros::ZERO } };
    assert_eq!(settle, [released]);
}

/// The whole process may have paused between the claim and its input. A row with a lease that may
/// have expired is released.
#[test]
fn a_lease_counts_from_before_its_transaction_began() {
    let lease = Micros::from_millis(10_000);
    for (pause, starts) in [(Micros(lease.0 - 1), 1), (lease, 0)] {
        let mut bench = Bench::started(config(|c| c.lease_ms = 10_000));
        let begun_at = bench.now;
        let drained = bench.after(pause, Input::InlineClaim { claimed: vec![Arc::new(delivery(1, 1))], begun_at });
        assert_eq!(executions(&drained).len(), starts);
        let released = exchanges(&drained).iter().any(|(_, settle, _)| !settle.is_empty());
        assert_eq!(released, starts == 0);
    }
}

#[test]
fn an_older_claim_of_a_row_does_not_replace_a_later_one() {
    let (mut bench, _) = Bench::running(config(|_| ()), vec![Delivery { lease: Lease(2), ..delivery(1, 1) }]);
    let drained = inline_claim(&mut bench, vec![delivery(1, 1)]);
    assert_eq!(drained.actions, []);
    assert!(drained.facts.iter().any(|fact| matches!(fact, Fact::LeaseLost { .. })), "{:?}", drained.facts);
}
