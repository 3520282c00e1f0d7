//! The clock of the store is set back. Times that the dispatcher has kept lie ahead then.

use crate::bench::*;
use crate::fixtures::*;
use tidegate_core::*;

const HOUR: Micros = Micros::from_secs(3_600);

/// A dispatcher that has put back a row, which is due in 9 s, and a discovery in flight.
fn after_a_retry() -> (Bench, OpId) {
    let (mut bench, ops) = Bench::running(config(|c| c.lease_ms = 3_600_000), vec![delivery(1, 1)]);
    let failure = Failure { retry_after: Some(Micros::from_secs(9)), ..Failure::new(ExecError::Timeout, "boom") };
    let (op, ..) = only_exchange(&bench.end(ops[0], Outcome::Failed(failure)));
    let drained = bench.answer(op, exchanged());
    let (Some(wake_at), _) = drained.idle.unwrap() else { panic!("a discovery is planned") };
    let discovery = only_discover(&bench.after(wake_at.since(bench.now), Input::Tick));
    (bench, discovery)
}

fn discovered_at(now: Timestamp, lanes: Vec<LaneState>) -> Reply {
    Reply::Discover(DiscoverReply { now, lanes, suspects: vec![], schedules: vec![] })
}

#[test]
fn a_retry_of_the_time_before_is_forgotten() {
    let (mut bench, op) = after_a_retry();
    bench.answer(op, discovered_at(NOW.minus(HOUR), vec![]));
    assert_eq!(bench.dispatcher.view().lanes, 0, "the lane has no rows, and its retry is not awaited for an hour");
}

/// The store moves due times only if its clock was set back by more than a minute.
#[test]
fn a_retry_is_kept_if_the_clock_was_set_back_a_little() {
    let (mut bench, op) = after_a_retry();
    bench.answer(op, discovered_at(NOW.minus(Micros::from_secs(20)), vec![]));
    assert_eq!(bench.dispatcher.view().lanes, 1);
}

#[test]
fn a_discovery_follows_at_once() {
    let (mut bench, ops) = Bench::running(config(|c| c.poll_interval_ms = 60_000), vec![delivery(1, 1)]);
    let (op, ..) = only_exchange(&bench.end(ops[0], succeeded()));
    let Reply::Exchange(reply) = exchanged() else { unreachable!("it is the reply to an exchange") };
    let drained = bench.answer(op, Reply::Exchange(ExchangeReply { now: NOW.minus(HOUR), ..reply }));
    let (wake_at, reason) = drained.idle.unwrap();
    assert_eq!(reason, IdleReason::Poll);
    assert!(wake_at.is_some_and(|at| at.since(bench.now) < Micros::from_secs(1)), "{wake_at:?}");
}
