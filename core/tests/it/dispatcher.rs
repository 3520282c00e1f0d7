//! The dispatcher, output by output: an extra one is as wrong as a missing one.

use crate::bench::*;
use crate::fixtures::*;
use tidegate_core::*;

#[test]
fn at_first_it_discovers_and_then_polls() {
    let mut bench = Bench::new(config(|_| ()));
    let op = only_discover(&bench.drain());
    let drained = bench.answer(op, discovered(&[]));
    assert_eq!(drained.actions, []);
    assert_eq!(drained.idle, Some((Some(bench.now.plus(Micros::from_millis(100))), IdleReason::Poll)));
    let drained = bench.after(Micros::from_millis(100), Input::Tick);
    only_discover(&drained);
}

#[test]
fn a_wake_is_claimed_at_once_executed_and_settled() {
    let mut bench = Bench::started(config(|_| ()));
    let drained = bench.after(Micros(1), Input::WakeUp { lanes: vec![TriggerId(1)], discover: false });
    let (op, settle, claim) = only_exchange(&drained);
    assert_eq!(settle, []);
    let share = 3; // of four permits one is left to other lanes
    assert_eq!(claim, [LaneQuota { trigger: TriggerId(1), quota: share, floor: Timestamp::EPOCH }]);

    let drained = bench.answer(op, claimed(vec![delivery(1, 1)]));
    let [(op, _)] = executions(&drained)[..] else { panic!("{:?}", drained.actions) };
    assert_eq!(drained.actions.len(), 1, "fewer rows than asked for: the lane is empty");

    let drained = bench.end(op, succeeded());
    let (op, settle, claim) = only_exchange(&drained);
    assert_eq!((settle, claim), (vec![done(&delivery(1, 1))], vec![]));

    let drained = bench.answer(op, exchanged());
    assert!(drained.facts.iter().any(|fact| matches!(fact, Fact::DeliverySettled { ending: Ending::Done, .. })));
    assert_eq!(drained.actions, []);
    assert_eq!(bench.dispatcher.view().held, 0);
}

#[test]
fn what_finishes_during_an_exchange_goes_with_the_next() {
    let deliveries: Vec<Delivery> = (1..=3).map(|id| delivery(1, id)).collect();
    let (mut bench, ops) = Bench::running(config(|_| ()), deliveries.clone());
    // Three were asked for and three came, so the lane may have more: the permit that is left belongs to other lanes.
    let (exchange, settle, _) = only_exchange(&bench.end(ops[0], succeeded()));
    assert_eq!(settle.len(), 1);
    assert_eq!(bench.end(ops[1], succeeded()).actions, []);
    assert_eq!(bench.end(ops[2], succeeded()).actions, []);
    let (_, settle, _) = only_exchange(&bench.answer(exchange, exchanged()));
    assert_eq!(settle, [done(&deliveries[1]), done(&deliveries[2])]);
}

#[test]
fn a_slow_lane_leaves_a_permit_to_the_others() {
    let (mut bench, ops) = Bench::running(config(|_| ()), (1..=3).map(|id| delivery(1, id)).collect());
    assert_eq!(ops.len(), 3);
    let drained = bench.after(Micros(1), Input::WakeUp { lanes: vec![TriggerId(1), TriggerId(2)], discover: false });
    let (op, _, claim) = only_exchange(&drained);
    assert_eq!(claim, [LaneQuota { trigger: TriggerId(2), quota: 1, floor: Timestamp::EPOCH }]);
    let drained = bench.answer(op, claimed(vec![delivery(2, 9)]));
    assert_eq!(executions(&drained).len(), 1);
    assert_eq!(bench.dispatcher.view().running, 4);
}

/// Rows that were claimed ahead for a lane, when its handlers were still quick, wait for that lane's own permits.
#[test]
fn rows_claimed_ahead_take_no_permit_from_another_lane() {
    let ahead = (0..76).map(|id| delivery(1, id)).collect();
    let (mut bench, _) = Bench::running(config(|c| c.gate.permits = 64), ahead);
    let view = bench.dispatcher.view();
    assert_eq!((view.running, view.queued), (56, 20));
    let drained = bench.after(Micros(1), Input::WakeUp { lanes: vec![TriggerId(2)], discover: false });
    let (_, _, quotas) = only_exchange(&drained);
    assert_eq!(quotas, [LaneQuota { trigger: TriggerId(2), quota: 8, floor: Timestamp::EPOCH }]);
}

#[test]
fn a_store_failure_backs_off_and_sends_the_same_settlements_again() {
    let (mut bench, ops) = Bench::running(config(|_| ()), vec![delivery(1, 1)]);
    let (op, first, _) = only_exchange(&bench.end(ops[0], succeeded()));
    let drained = bench.fail(op, StoreError::unknown("reset"));
    assert_eq!(drained.actions, []);
    let [Fact::StoreFailed { failures: 1, retry_in, .. }] = drained.facts[..] else { panic!("{:?}", drained.facts) };
    assert_eq!(drained.idle, Some((Some(bench.now.plus(retry_in)), IdleReason::StoreBackoff)));

    let drained = bench.after(retry_in, Input::Tick);
    let (op, again, _) = only_exchange(&drained);
    assert_eq!(first, again);
    let fenced = vec![claim_of(&delivery(1, 1))];
    let reply =
        Reply::Exchange(ExchangeReply { now: NOW, fenced, conflicted: vec![], claimed: vec![], woken_lanes: vec![] });
    let drained = bench.answer(op, reply);
    assert!(drained.facts.iter().any(|fact| matches!(fact, Fact::StoreRecovered { failures: 1, .. })));
    assert!(drained.facts.iter().any(|fact| matches!(fact, Fact::SettlementFenced { resent: true, .. })));
    assert_eq!(bench.dispatcher.view().held, 0);
}

#[test]
fn conflicting_effects_run_again_at_once_and_count_an_attempt_after_twenty_times() {
    let (mut bench, ops) = Bench::running(config(|_| ()), vec![delivery(1, 1)]);
    let mut execution = ops[0];
    for times in 1..=21 {
        let (op, settle, _) = only_exchange(&bench.end(execution, succeeded()));
        assert_eq!(settle, [done(&delivery(1, 1))]);
        let conflicted = vec![claim_of(&delivery(1, 1))];
        let reply = Reply::Exchange(ExchangeReply {
            now: NOW,
            fenced: vec![],
            conflicted,
            claimed: vec![],
            woken_lanes: vec![],
        });
        let drained = bench.answer(op, reply);
        if times <= 20 {
            let [(op, _)] = executions(&drained)[..] else { panic!("{:?}", drained.actions) };
            execution = op;
        } else {
            let (_, settle, _) = only_exchange(&drained);
            let Verdict::Retry { failed, .. } = &settle[0].verdict else { panic!("{settle:?}") };
            assert_eq!((failed.attempt, failed.error), (1, ExecError::EffectsConflict));
        }
    }
}

#[test]
fn too_deep_a_chain_is_dropped_without_being_executed() {
    let mut bench = Bench::started(config(|_| ()));
    let (op, _, _) =
        only_exchange(&bench.after(Micros(1), Input::WakeUp { lanes: vec![TriggerId(1)], discover: false }));
    let deep = Delivery { event: event(17), ..delivery(1, 1) };
    let drained = bench.answer(op, claimed(vec![deep.clone()]));
    let (_, settle, _) = only_exchange(&drained);
    assert_eq!(settle, [Settlement { claim: claim_of(&deep), verdict: Verdict::Dropped }]);
    assert!(executions(&drained).is_empty());
}

#[test]
fn claims_are_renewed_thrice_within_a_lease_and_a_lost_one_is_cancelled() {
    let (mut bench, ops) = {
        let patient = Delivery { timeout: Micros::from_secs(60), ..delivery(1, 1) };
        Bench::running(config(|c| c.lease_ms = 3_000), vec![patient])
    };
    let mut renewals = 0;
    for _ in 0..40 {
        let drained = bench.after(Micros::from_millis(100), Input::Tick);
        for action in drained.actions {
            match action {
                Action::CallStore { op, request: Request::Renew { held, .. } } => {
                    assert_eq!(held, [claim_of(&delivery(1, 1))]);
                    renewals += 1;
                    let fenced = if renewals == 3 { held } else { Vec::new() };
                    let drained = bench.answer(op, Reply::Renew(RenewReply { now: NOW, fenced }));
                    if renewals == 3 {
                        assert_eq!(drained.actions, [Action::Cancel { op: ops[0] }]);
                        assert!(matches!(drained.facts[..], [Fact::LeaseLost { .. }]), "{:?}", drained.facts);
                    }
                }
                Action::CallStore { op, request: Request::Discover } => {
                    bench.answer(op, discovered(&[]));
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(renewals, 3);
    assert_eq!(bench.dispatcher.view().running, 0);
    let late = Input::ExecutionEnded { op: ops[0], outcome: succeeded() };
    assert_eq!(bench.dispatcher.handle(bench.now, late), Disposition::Stale);
}

#[test]
fn an_execution_that_does_not_end_is_written_off_as_a_timeout() {
    let (mut bench, ops) = Bench::running(config(|c| c.overrun_ms = 500), vec![delivery(1, 1)]);
    let drained = bench.after(Micros::from_millis(1_500), Input::Tick);
    assert!(drained.actions.contains(&Action::Cancel { op: ops[0] }));
    let (_, settle, _) = only_exchange(&drained);
    let Verdict::Retry { failed, .. } = &settle[0].verdict else { panic!("{settle:?}") };
    assert_eq!(failed.error, ExecError::Timeout);
    assert_eq!(bench.dispatcher.view().running, 0);
}

#[test]
fn what_finds_no_permit_for_too_long_is_deferred_with_its_attempt_given_back() {
    let (mut bench, _) = Bench::running(config(|_| ()), (1..=3).map(|id| delivery(1, id)).collect());
    let limits = GateLimits { permits: 1, sync_reserve: 0 };
    let drained = bench.after(Micros(1), Input::WakeUp { lanes: vec![TriggerId(2)], discover: false });
    let (op, _, _) = only_exchange(&drained);
    bench.after(Micros(1), Input::GateChanged { limits });
    let drained = bench.answer(op, claimed(vec![delivery(2, 9)]));
    assert!(executions(&drained).is_empty(), "the gate was lowered below what runs");
    assert_eq!(bench.dispatcher.view().queued, 1);

    // Past the wait for a permit, but not past the timeouts of what runs.
    let drained = bench.after(Micros::from_millis(1_000), Input::Tick);
    let (_, settle, _) = only_exchange(&drained);
    let [Settlement { verdict: Verdict::Deferred { delay }, .. }] = settle[..] else { panic!("{settle:?}") };
    assert!((125_000..=375_000).contains(&delay.0), "{delay:?}");
}

#[test]
fn shutdown_releases_what_waits_finishes_what_runs_and_stops() {
    let limits = GateLimits { permits: 2, sync_reserve: 0 };
    let mut bench = Bench::started(config(|c| c.gate = limits));
    let (op, _, _) =
        only_exchange(&bench.after(Micros(1), Input::WakeUp { lanes: vec![TriggerId(1)], discover: false }));
    let drained = bench.answer(op, claimed(vec![delivery(1, 1), delivery(1, 2)]));
    let [(running, _)] = executions(&drained)[..] else { panic!("one lane of two permits runs one") };

    let drained = bench.after(Micros(1), Input::ShutdownRequested);
    let (op, settle, claim) = only_exchange(&drained);
    let released = Settlement { claim: claim_of(&delivery(1, 2)), verdict: Verdict::Deferred { delay: Micros::ZERO } };
    assert_eq!((settle, claim), (vec![released], vec![]));
    assert!(drained.facts.contains(&Fact::ShutdownStarted { running: 1 }));
    bench.answer(op, exchanged());

    let (op, settle, _) = only_exchange(&bench.end(running, succeeded()));
    assert_eq!(settle, [done(&delivery(1, 1))]);
    let drained = bench.answer(op, exchanged());
    assert_eq!((drained.actions, drained.idle), (vec![], None), "stopped");
    assert!(bench.dispatcher.view().stopped);
}

#[test]
fn shutdown_is_bounded_even_if_nothing_ends_and_the_store_is_away() {
    let (mut bench, ops) = Bench::running(config(|c| c.shutdown_grace_ms = 1_000), vec![delivery(1, 1)]);
    bench.after(Micros(1), Input::ShutdownRequested);
    let drained = bench.after(Micros::from_millis(1_000), Input::Tick);
    assert!(drained.actions.contains(&Action::Cancel { op: ops[0] }));
    let (op, settle, _) = only_exchange(&drained);
    assert!(matches!(settle[0].verdict, Verdict::Deferred { delay: Micros::ZERO }));
    bench.fail(op, unavailable());
    let drained = bench.after(Micros::from_secs(3), Input::Tick);
    assert_eq!(drained.idle, None, "stopped");
}

#[test]
fn an_answer_to_nobody_is_stale() {
    let mut bench = Bench::started(config(|_| ()));
    let ours = OpId { incarnation: boot().incarnation, seq: 99 };
    let dead = OpId { incarnation: Incarnation(uuid::Uuid::from_u128(9)), seq: 1 };
    for op in [ours, dead] {
        let answer = Input::StoreAnswered { op, result: Ok(exchanged()) };
        assert_eq!(bench.dispatcher.handle(bench.now, answer), Disposition::Stale);
        let ended = Input::ExecutionEnded { op, outcome: succeeded() };
        assert_eq!(bench.dispatcher.handle(bench.now, ended), Disposition::Stale);
    }
    assert_eq!(bench.dispatcher.view().stale, 4);
    let limits = GateLimits { permits: 0, sync_reserve: 0 };
    assert_eq!(bench.dispatcher.handle(bench.now, Input::GateChanged { limits }), Disposition::Rejected);
}

#[test]
fn a_retry_is_claimed_when_it_is_due_without_a_poll() {
    let (mut bench, ops) = Bench::running(config(|c| c.poll_interval_ms = 60_000), vec![delivery(1, 1)]);
    let (op, _, _) = only_exchange(&bench.end(ops[0], failed(ExecError::ScriptError)));
    let drained = bench.answer(op, exchanged());
    assert_eq!(drained.idle, Some((Some(bench.now.plus(Micros::from_millis(100))), IdleReason::LaneDue)));
    let drained = bench.after(Micros::from_millis(100), Input::Tick);
    assert_eq!(only_exchange(&drained).2.len(), 1);
}

#[test]
fn a_due_schedule_ticks_once_and_is_told_its_next_time() {
    let mut bench = Bench::new(config(|_| ()));
    let op = only_discover(&bench.drain());
    let schedules = vec![schedule(Some(NOW)), Schedule { trigger: TriggerId(6), ..schedule(None) }];
    let drained = bench.answer(op, Reply::Discover(DiscoverReply { now: NOW, lanes: vec![], schedules }));
    let next = NOW.plus(Micros::from_secs(3_600));
    let tick = |trigger, expected| Tick { trigger: TriggerId(trigger), expected, next };
    let [Action::CallStore { op, request: Request::Tick { ticks } }] = &drained.actions[..] else {
        panic!("{:?}", drained.actions)
    };
    assert_eq!(ticks[..], [tick(5, Some(NOW)), tick(6, None)]);
    let drained = bench.answer(*op, Reply::Tick(TickReply { now: NOW, woken_lanes: vec![TriggerId(5)] }));
    assert_eq!(only_exchange(&drained).2[0].trigger, TriggerId(5));
}
