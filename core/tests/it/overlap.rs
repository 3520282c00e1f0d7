//! Two exchanges in flight: the reasons for a second one, and answers that arrive in the other
//! order.

use crate::bench::*;
use crate::fixtures::*;
use tidegate_core::*;

fn woken(lane: i64) -> Input {
    Input::WakeUp { lanes: vec![TriggerId(lane)], discover: false }
}

/// The same row under its next claim.
fn again(delivery: &Delivery) -> Delivery {
    Delivery { lease: Lease(delivery.lease.0 + 1), attempt: delivery.attempt + 1, ..delivery.clone() }
}

#[test]
fn a_lane_without_a_claim_in_flight_gets_a_second_exchange_and_never_a_third() {
    let (mut bench, ops) = Bench::running(config(|_| ()), (1..=3).map(|id| delivery(1, id)).collect());
    // A slow handler, so that no row is claimed ahead.
    let ended = Input::ExecutionEnded { op: ops[0], outcome: succeeded(), start_wait: Micros::ZERO };
    let (first, _, _) = only_exchange(&bench.after(Micros::from_millis(50), ended));
    let (second, settle, claim) = only_exchange(&bench.after(Micros(1), woken(2)));
    assert_eq!((settle, claim.len(), claim[0].trigger), (vec![], 1, TriggerId(2)));
    assert_eq!(bench.after(Micros(1), woken(3)).actions, []);
    assert_eq!(bench.end(ops[1], succeeded()).actions, []);
    assert_eq!(bench.dispatcher.view().settling, 2);

    // The second exchange is answered first. A third exchange takes its place, because another lane
    // has work.
    let (third, settle, claim) = only_exchange(&bench.answer(second, claimed(vec![])));
    assert_eq!((settle.len(), claim[0].trigger), (1, TriggerId(3)));
    assert_eq!(bench.answer(first, exchanged()).actions, []);
    assert_eq!(bench.answer(third, exchanged()).actions, []);
    assert_eq!(bench.dispatcher.view().held, 1);
}

#[test]
fn many_settlements_are_worth_a_second_exchange_and_few_are_not() {
    let deliveries: Vec<Delivery> = (1..=100).map(|id| delivery(1, id)).collect();
    let (mut bench, ops) = Bench::running(config(|spec| spec.gate.permits = 200), deliveries);
    let (_, settle, _) = only_exchange(&bench.end(ops[0], succeeded()));
    assert_eq!(settle.len(), 1);
    for op in &ops[1..64] {
        assert_eq!(bench.end(*op, succeeded()).actions, []);
    }
    let (_, settle, _) = only_exchange(&bench.end(ops[64], succeeded()));
    assert_eq!(settle.len(), 64);
}

#[test]
fn requested_rows_count_against_the_next_quota() {
    let mut bench = Bench::started(config(|spec| spec.gate.permits = 64));
    let (_, _, claim) = only_exchange(&bench.after(Micros(1), woken(1)));
    assert_eq!(claim[0].quota, 56);
    let (_, _, claim) = only_exchange(&bench.after(Micros(1), woken(2)));
    assert_eq!(quotas(&claim), [(2, 1)], "the other free permits are for lanes that run nothing");
}

#[test]
fn a_row_that_is_claimed_again_before_its_settlement_is_answered_is_also_settled() {
    let row = delivery(1, 1);
    let (mut bench, ops) = Bench::running(config(|_| ()), vec![row.clone()]);
    let (settling, ..) = only_exchange(&bench.end(ops[0], failed(ExecError::ScriptError)));
    let (claiming, ..) = only_exchange(&bench.after(Micros(1), woken(2)));
    // The store has put the row back, and the other exchange has claimed it.
    let drained = bench.answer(claiming, claimed(vec![again(&row)]));
    assert_eq!(executions(&drained).len(), 1);
    let lost = |fact: &Fact| matches!(fact, Fact::LeaseLost { .. });
    assert!(!drained.facts.iter().any(lost), "{:?}", drained.facts);

    let drained = bench.answer(settling, exchanged());
    let [Fact::ExchangeAnswered { .. }, Fact::DeliverySettled { delivery, ending: Ending::Retry { .. }, .. }] =
        &drained.facts[..]
    else {
        panic!("{:?}", drained.facts)
    };
    assert_eq!(delivery.lease, row.lease);
    let view = bench.dispatcher.view();
    assert_eq!((view.held, view.running, view.settling), (1, 1, 0));
}

#[test]
fn a_claim_that_arrives_after_a_later_claim_of_its_row_is_lost() {
    let mut bench = Bench::started(config(|_| ()));
    let (slow, ..) = only_exchange(&bench.after(Micros(1), woken(1)));
    let (quick, ..) = only_exchange(&bench.after(Micros(1), woken(2)));
    let row = delivery(1, 1);
    assert_eq!(executions(&bench.answer(quick, claimed(vec![again(&row)]))).len(), 1);
    let drained = bench.answer(slow, claimed(vec![row.clone()]));
    assert_eq!(executions(&drained), []);
    let lost = |fact: &Fact| matches!(fact, Fact::LeaseLost { delivery } if delivery.lease == row.lease);
    assert!(drained.facts.iter().any(lost), "{:?}", drained.facts);
    assert_eq!(bench.dispatcher.view().running, 1);
}
