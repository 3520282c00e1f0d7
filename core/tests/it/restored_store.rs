//! A store that is restored to an earlier state gives the ids of rows again.

use crate::bench::*;
use crate::fixtures::*;
use std::sync::Arc;
use tidegate_core::*;

#[test]
fn a_call_with_the_id_of_a_settling_row_leaves_its_settlement_alone() {
    let (mut bench, ops) = Bench::running(config(|_| ()), vec![delivery(1, 5)]);
    let (settling, ..) = only_exchange(&bench.end(ops[0], succeeded()));
    let called = bench.after(Micros(1), Input::SyncCalled { call: Arc::new(call(1, 0)) });
    let [Action::CallStore { op, request: Request::BeginCalls { .. } }] = &called.actions[..] else {
        panic!("{:?}", called.actions)
    };
    let deliveries = vec![Arc::new(Delivery { lease: Lease(2), ..call_delivery(1, 5) })];
    let begun = BeginCallsReply { now: NOW, deliveries, refused: vec![], repeated: vec![] };
    let drained = bench.answer(*op, Reply::BeginCalls(begun));
    assert!(!drained.facts.iter().any(|fact| matches!(fact, Fact::LeaseLost { .. })), "{:?}", drained.facts);
    let drained = bench.answer(settling, exchanged());
    let is_done = |fact: &Fact| matches!(fact, Fact::DeliverySettled { ending: Ending::Done, .. });
    assert_eq!(drained.facts.iter().filter(|fact| is_done(fact)).count(), 1, "{:?}", drained.facts);
    assert_eq!(bench.dispatcher.view().running, 1, "the call runs");
}
