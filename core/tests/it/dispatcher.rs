//! The dispatcher, output by output. An extra output is as wrong as a missing one.

use crate::bench::*;
use crate::fixtures::*;
use tidegate_core::*;

#[test]
fn the_first_action_is_a_discovery_and_the_next_follows_after_the_poll_interval() {
    let mut bench = Bench::new(config(|_| ()));
    let op = only_discover(&bench.drain());
    let drained = bench.answer(op, discovered(&[]));
    assert_eq!(drained.actions, []);
    assert_eq!(drained.idle, Some((Some(bench.now.plus(Micros::from_millis(100))), IdleReason::Poll)));
    let drained = bench.after(Micros::from_millis(100), Input::Tick);
    only_discover(&drained);
}

#[test]
fn a_wake_up_is_followed_by_a_claim_an_execution_and_a_settlement() {
    let mut bench = Bench::started(config(|_| ()));
    let drained = bench.after(Micros(1), Input::WakeUp { lanes: vec![TriggerId(1)], discover: false });
    let (op, settle, claim) = only_exchange(&drained);
    assert_eq!(settle, []);
    let share = 3; // One of four permits is left to other lanes.
    assert_eq!(quotas(&claim), [(1, share)]);

    let drained = bench.answer(op, claimed(vec![delivery(1, 1)]));
    let [(op, _)] = executions(&drained)[..] else { panic!("{:?}", drained.actions) };
    assert_eq!(drained.actions.len(), 1, "fewer rows than the quota: the lane has no more");

    let drained = bench.end(op, succeeded());
    let (op, settle, claim) = only_exchange(&drained);
    assert_eq!((settle, claim), (vec![done(&delivery(1, 1))], vec![]));

    let drained = bench.answer(op, exchanged());
    assert!(drained.facts.iter().any(|fact| matches!(fact, Fact::DeliverySettled { ending: Ending::Done, .. })));
    assert_eq!(drained.actions, []);
    assert_eq!(bench.dispatcher.view().held, 0);
}

#[test]
fn settlements_that_are_queued_during_an_exchange_go_with_the_next() {
    let deliveries: Vec<Delivery> = (1..=3).map(|id| delivery(1, id)).collect();
    let (mut bench, ops) = Bench::running(config(|_| ()), deliveries.clone());
    // The claim returned as many rows as its quota of three, so the lane may have more. The fourth
    // permit is for other lanes.
    let (exchange, settle, _) = only_exchange(&bench.end(ops[0], succeeded()));
    assert_eq!(settle.len(), 1);
    assert_eq!(bench.end(ops[1], succeeded()).actions, []);
    assert_eq!(bench.end(ops[2], succeeded()).actions, []);
    let (_, settle, _) = only_exchange(&bench.answer(exchange, exchanged()));
    assert_eq!(settle, [done(&deliveries[1]), done(&deliveries[2])]);
}

#[test]
fn a_slow_lane_leaves_a_permit_to_other_lanes() {
    let (mut bench, ops) = Bench::running(config(|_| ()), (1..=3).map(|id| delivery(1, id)).collect());
    assert_eq!(ops.len(), 3);
    let drained = bench.after(Micros(1), Input::WakeUp { lanes: vec![TriggerId(1), TriggerId(2)], discover: false });
    let (op, _, claim) = only_exchange(&drained);
    assert_eq!(quotas(&claim), [(2, 1)]);
    let drained = bench.answer(op, claimed(vec![delivery(2, 9)]));
    assert_eq!(executions(&drained).len(), 1);
    assert_eq!(bench.dispatcher.view().running, 4);
}

/// Rows that were claimed ahead while the handlers of their lane were fast wait for the share of
/// that lane.
#[test]
fn rows_claimed_ahead_take_no_permit_from_another_lane() {
    let ahead = (0..76).map(|id| delivery(1, id)).collect();
    let (mut bench, _) = Bench::running(config(|c| c.gate.permits = 64), ahead);
    let view = bench.dispatcher.view();
    assert_eq!((view.running, view.queued), (56, 20));
    let drained = bench.after(Micros(1), Input::WakeUp { lanes: vec![TriggerId(2)], discover: false });
    let (_, _, claim) = only_exchange(&drained);
    assert_eq!(quotas(&claim), [(2, 1)], "the other free permits are for lanes that run nothing");
}

/// Runs a claim of `rows` rows of the lane, as many as the exchange requested.
fn answer_all(bench: &mut Bench, (op, _, claim): (OpId, Vec<Settlement>, Vec<LaneQuota>)) -> Vec<OpId> {
    let first_id = bench.now.0 as i64;
    let rows = claim.iter().flat_map(|quota| (0..quota.quota).map(|_| quota.trigger.0));
    let rows = rows.zip(first_id..).map(|(lane, id)| delivery(lane, id)).collect();
    executions(&bench.answer(op, claimed(rows))).into_iter().map(|(op, _)| op).collect()
}

#[test]
fn any_number_of_busy_lanes_leaves_a_permit_to_another_lane_and_shares_the_rest() {
    for busy in [1, 2, 8, 48_u32] {
        let mut bench =
            Bench::started(config(|c| c.gate = GateLimits { permits: 64, sync_reserve: 8, async_reserve: 0 }));
        let lanes = (1..=i64::from(busy)).map(TriggerId).collect();
        let exchange = only_exchange(&bench.after(Micros(1), Input::WakeUp { lanes, discover: false }));
        let shares: Vec<u32> = exchange.2.iter().map(|quota| quota.quota).collect();
        assert_eq!(shares.iter().sum::<u32>(), 49, "{busy} lanes: seven of 56 permits are left");
        assert!(shares.iter().all(|rows| rows.abs_diff(49 / busy) <= 1), "{busy} lanes: {shares:?}");
        let running = answer_all(&mut bench, exchange);
        assert_eq!(running.len(), 49);

        let rare = bench.after(Micros(1), Input::WakeUp { lanes: vec![TriggerId(100)], discover: false });
        let exchange = only_exchange(&rare);
        assert_eq!(quotas(&exchange.2), [(100, 1)], "{busy} lanes");
        assert_eq!(answer_all(&mut bench, exchange).len(), 1, "{busy} lanes");
    }
}

#[test]
fn a_free_permit_goes_to_the_lane_that_runs_the_fewest_rows() {
    let mut bench = Bench::started(config(|c| c.gate.permits = 16));
    let woken = |lane: i64| Input::WakeUp { lanes: vec![TriggerId(lane)], discover: false };
    let exchange = only_exchange(&bench.after(Micros(1), woken(1)));
    let ops = answer_all(&mut bench, exchange);
    assert_eq!(ops.len(), 14, "two of sixteen permits are left");
    let mut exchange = only_exchange(&bench.after(Micros(1), woken(2)));
    assert_eq!(quotas(&exchange.2), [(2, 1)]);
    for op in &ops[..4] {
        // The answer that was full says that both lanes have more rows.
        answer_all(&mut bench, exchange);
        // Slow handlers, so that no row is claimed ahead.
        let ended = Input::ExecutionEnded { op: *op, outcome: succeeded(), start_wait: Micros::ZERO };
        exchange = only_exchange(&bench.after(Micros::from_millis(50), ended));
    }
    assert_eq!(
        quotas(&exchange.2),
        [(2, 1)],
        "the first two permits fill the reserve, the others go to the second lane"
    );
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
    let reply = Reply::Exchange(ExchangeReply {
        now: NOW,
        fenced,
        conflicted: vec![],
        claimed: vec![],
        suspects: 0,
        is_cut: false,
        woken_lanes: vec![],
    });
    let drained = bench.answer(op, reply);
    assert!(drained.facts.iter().any(|fact| matches!(fact, Fact::StoreRecovered { failures: 1, .. })));
    assert!(drained.facts.iter().any(|fact| matches!(fact, Fact::SettlementFenced { resent: true, .. })));
    assert_eq!(bench.dispatcher.view().held, 0);
}

#[test]
fn a_delivery_with_conflicting_effects_runs_again_at_once_and_fails_after_twenty_times() {
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
            suspects: 0,
            is_cut: false,
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
fn a_delivery_of_an_event_that_is_too_deep_is_dropped_and_not_executed() {
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
fn a_claim_is_renewed_three_times_within_a_lease_and_a_lost_claim_is_cancelled() {
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
    let late = Input::ExecutionEnded { op: ops[0], outcome: succeeded(), start_wait: Micros::ZERO };
    assert_eq!(bench.dispatcher.handle(bench.now, late), Disposition::Stale);
}

#[test]
fn an_execution_that_does_not_end_is_settled_as_a_timeout() {
    let (mut bench, ops) = Bench::running(config(|c| c.overrun_ms = 500), vec![delivery(1, 1)]);
    // The executor may wait one second for a thread. The timeout of one second begins after that.
    let drained = bench.after(Micros::from_millis(2_499), Input::Tick);
    assert!(!drained.actions.contains(&Action::Cancel { op: ops[0] }));
    let drained = bench.after(Micros::from_millis(1), Input::Tick);
    assert!(drained.actions.contains(&Action::Cancel { op: ops[0] }));
    let (_, settle, _) = only_exchange(&drained);
    let Verdict::Retry { failed, .. } = &settle[0].verdict else { panic!("{settle:?}") };
    assert_eq!(failed.error, ExecError::Timeout);
    assert_eq!(bench.dispatcher.view().running, 0);
}

#[test]
fn a_row_that_waits_too_long_for_a_permit_is_deferred() {
    let (mut bench, _) = Bench::running(config(|_| ()), (1..=3).map(|id| delivery(1, id)).collect());
    let limits = GateLimits { permits: 1, sync_reserve: 0, async_reserve: 0 };
    let drained = bench.after(Micros(1), Input::WakeUp { lanes: vec![TriggerId(2)], discover: false });
    let (op, _, _) = only_exchange(&drained);
    bench.after(Micros(1), Input::GateChanged { limits });
    let drained = bench.answer(op, claimed(vec![delivery(2, 9)]));
    assert!(executions(&drained).is_empty(), "the limits are below the number of running executions");
    assert_eq!(bench.dispatcher.view().queued, 1);

    // After the wait for a permit, and before the timeouts of the running executions.
    let drained = bench.after(Micros::from_millis(1_000), Input::Tick);
    let (_, settle, _) = only_exchange(&drained);
    let [Settlement { verdict: Verdict::Deferred { delay }, .. }] = settle[..] else { panic!("{settle:?}") };
    assert!((125_000..=375_000).contains(&delay.0), "{delay:?}");
}

fn not_started() -> Outcome {
    Outcome::NotStarted { reason: "no thread".to_owned() }
}

/// The ids of the deferred rows, after a check of their delays.
fn deferred(settle: &[Settlement], delays: std::ops::RangeInclusive<u64>) -> Vec<i64> {
    let id = |one: &Settlement| match one.verdict {
        Verdict::Deferred { delay } if delays.contains(&delay.0) => one.claim.delivery.0,
        _ => panic!("{one:?}"),
    };
    settle.iter().map(id).collect()
}

#[test]
fn a_handler_that_did_not_start_is_deferred_and_its_lane_rests() {
    let (mut bench, ops) = Bench::running(config(|_| ()), (1..=3).map(|id| delivery(1, id)).collect());
    let drained = bench.end(ops[0], not_started());
    let (exchange, settle, claim) = only_exchange(&drained);
    assert_eq!(deferred(&settle, 125_000..=375_000), [1]);
    assert_eq!(claim, [], "the lane rests");
    let rest_of = |fact: &Fact| match fact {
        Fact::HandlerNotStarted { reason, begins_rest, .. } if reason == "no thread" => Some(*begins_rest),
        _ => None,
    };
    assert_eq!(drained.facts.iter().find_map(rest_of), Some(true));
    assert_eq!(bench.end(ops[1], not_started()).facts.iter().find_map(rest_of), Some(false));
    let drained = bench.answer(exchange, exchanged());
    let not_executed =
        |fact: &Fact| matches!(fact, Fact::DeliverySettled { ending: Ending::Deferred { .. }, run: None, .. });
    assert!(drained.facts.iter().any(not_executed), "{:?}", drained.facts);

    let woken = || Input::WakeUp { lanes: vec![TriggerId(1)], discover: false };
    assert_eq!(bench.after(Micros(1), woken()).actions, [], "a resting lane is not claimed from");
    let room = bench.dispatcher.inline_room();
    assert_eq!(room.closed_lanes, [TriggerId(1)]);
    let (_, settle, claim) = only_exchange(&bench.after(Micros::from_millis(125), Input::Tick));
    assert_eq!((settle, quotas(&claim)), (vec![], vec![(1, 2)]), "the rest has ended");
}

#[test]
fn the_rest_of_a_lane_grows_and_its_queued_rows_are_deferred_with_it() {
    let limits = GateLimits { permits: 2, sync_reserve: 0, async_reserve: 0 };
    let mut bench = Bench::started(config(|c| c.gate = limits));
    let woken = || Input::WakeUp { lanes: vec![TriggerId(1)], discover: false };
    for (round, delays) in [(1, 125_000..=375_000), (2, 250_000..=750_000), (3, 500_000..=1_500_000)] {
        let (op, ..) = only_exchange(&bench.after(Micros::from_secs(9), woken()));
        let drained = bench.answer(op, claimed((1..=3).map(|id| delivery(1, round * 10 + id)).collect()));
        let [(op, _)] = executions(&drained)[..] else { panic!("{:?}", drained.actions) };
        let (op, settle, _) = only_exchange(&bench.end(op, not_started()));
        assert_eq!(deferred(&settle, delays), [2, 3, 1].map(|id| round * 10 + id));
        assert_eq!(bench.dispatcher.view().queued, 0);
        bench.answer(op, exchanged());
    }
}

#[test]
fn a_rest_delays_no_other_lane() {
    let (mut bench, ops) = Bench::running(config(|_| ()), vec![delivery(1, 1)]);
    let (op, ..) = only_exchange(&bench.end(ops[0], not_started()));
    bench.answer(op, exchanged());
    let woken = Input::WakeUp { lanes: vec![TriggerId(1), TriggerId(2)], discover: false };
    let (op, _, claim) = only_exchange(&bench.after(Micros(1), woken));
    assert_eq!(quotas(&claim), [(2, 3)]);
    let drained = bench.answer(op, claimed(vec![delivery(2, 9)]));
    assert_eq!(executions(&drained).len(), 1);
}

#[test]
fn a_shutdown_releases_waiting_rows_finishes_running_executions_and_stops() {
    let limits = GateLimits { permits: 2, sync_reserve: 0, async_reserve: 0 };
    let mut bench = Bench::started(config(|c| c.gate = limits));
    let (op, _, _) =
        only_exchange(&bench.after(Micros(1), Input::WakeUp { lanes: vec![TriggerId(1)], discover: false }));
    let drained = bench.answer(op, claimed(vec![delivery(1, 1), delivery(1, 2)]));
    let [(running, _)] = executions(&drained)[..] else {
        panic!("one lane may run one of two permits: {:?}", drained.actions)
    };

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
fn a_shutdown_ends_in_time_even_if_no_execution_ends_and_no_store_call_is_applied() {
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
fn an_answer_to_an_unknown_operation_is_stale() {
    let mut bench = Bench::started(config(|_| ()));
    let unknown = OpId { incarnation: boot().incarnation, seq: 99 };
    let earlier_life = OpId { incarnation: Incarnation(uuid::Uuid::from_u128(9)), seq: 1 };
    for op in [unknown, earlier_life] {
        let answer = Input::StoreAnswered { op, result: Ok(exchanged()) };
        assert_eq!(bench.dispatcher.handle(bench.now, answer), Disposition::Stale);
        let ended = Input::ExecutionEnded { op, outcome: succeeded(), start_wait: Micros::ZERO };
        assert_eq!(bench.dispatcher.handle(bench.now, ended), Disposition::Stale);
    }
    assert_eq!(bench.dispatcher.view().stale, 4);
    let limits = GateLimits { permits: 0, sync_reserve: 0, async_reserve: 0 };
    assert_eq!(bench.dispatcher.handle(bench.now, Input::GateChanged { limits }), Disposition::Rejected);
}

#[test]
fn a_retry_is_claimed_when_it_is_due_without_a_discovery() {
    let (mut bench, ops) = Bench::running(config(|c| c.poll_interval_ms = 60_000), vec![delivery(1, 1)]);
    let (op, _, _) = only_exchange(&bench.end(ops[0], failed(ExecError::ScriptError)));
    let drained = bench.answer(op, exchanged());
    assert_eq!(drained.idle, Some((Some(bench.now.plus(Micros::from_millis(100))), IdleReason::LaneDue)));
    let drained = bench.after(Micros::from_millis(100), Input::Tick);
    assert_eq!(only_exchange(&drained).2.len(), 1);
}

#[test]
fn a_due_schedule_ticks_once_and_the_tick_names_the_next_one() {
    let mut bench = Bench::new(config(|_| ()));
    let op = only_discover(&bench.drain());
    let schedules = vec![schedule(Some(NOW)), Schedule { trigger: TriggerId(6), ..schedule(None) }];
    let drained =
        bench.answer(op, Reply::Discover(DiscoverReply { now: NOW, lanes: vec![], suspects: vec![], schedules }));
    let next = NOW.plus(Micros::from_secs(3_600));
    let tick = |trigger, expected| Tick { trigger: TriggerId(trigger), expected, next };
    let [Action::CallStore { op, request: Request::Tick { ticks } }] = &drained.actions[..] else {
        panic!("{:?}", drained.actions)
    };
    assert_eq!(ticks[..], [tick(5, Some(NOW)), tick(6, None)]);
    let drained = bench.answer(*op, Reply::Tick(TickReply { now: NOW, woken_lanes: vec![TriggerId(5)] }));
    assert_eq!(only_exchange(&drained).2[0].trigger, TriggerId(5));
}

/// A discovery that takes 400 ms, and the time of the next one.
#[test]
fn a_slow_discovery_is_repeated_within_the_longest_wait_of_due_work() {
    for (poll_interval_ms, expected) in [(100, Config::DUE_WAIT_MAX), (20_000, Micros::from_secs(20))] {
        let mut bench = Bench::new(config(|c| (c.poll_interval_ms, c.lease_ms) = (poll_interval_ms, 3_600_000)));
        let op = only_discover(&bench.drain());
        bench.after(Micros::from_millis(400), Input::Tick);
        let drained = bench.answer(op, discovered(&[]));
        assert_eq!(drained.idle, Some((Some(bench.now.plus(expected)), IdleReason::Poll)));
    }
}

#[test]
fn a_known_tick_is_discovered_when_it_is_due() {
    let mut bench = Bench::new(config(|c| (c.poll_interval_ms, c.lease_ms) = (60_000, 3_600_000)));
    let op = only_discover(&bench.drain());
    let schedules = vec![schedule(None)];
    let drained =
        bench.answer(op, Reply::Discover(DiscoverReply { now: NOW, lanes: vec![], suspects: vec![], schedules }));
    let [Action::CallStore { op, request: Request::Tick { ticks } }] = &drained.actions[..] else {
        panic!("{:?}", drained.actions)
    };
    let until = ticks[0].next.minus(Micros::from_millis(250));
    let drained = bench.answer(*op, Reply::Tick(TickReply { now: until, woken_lanes: vec![] }));
    assert_eq!(drained.idle.unwrap().0, Some(bench.now.plus(Micros::from_millis(250))));
    let op = only_discover(&bench.after(Micros::from_millis(250), Input::Tick));
    // The store's clock is a little behind the estimate, so the tick is not due yet. The next
    // discovery leaves the store a pause of four times the 1 ms that this one took.
    let early =
        DiscoverReply { now: ticks[0].next.minus(Micros(30)), lanes: vec![], suspects: vec![], schedules: vec![] };
    let drained = bench.answer(op, Reply::Discover(early));
    assert_eq!(drained.idle.unwrap().0, Some(bench.now.plus(Micros::from_millis(4))));
}

#[test]
fn a_requested_back_off_of_more_than_seven_days_is_cut_with_a_note() {
    let (mut bench, ops) = Bench::running(config(|_| ()), vec![delivery(1, 1)]);
    let failure = Failure::new(ExecError::ScriptError, format!("busy\n{}", "x".repeat(5_000)));
    let failure = Failure { retry_after: Some(Micros::from_secs(30 * 24 * 3_600)), ..failure };
    let (_, settle, _) = only_exchange(&bench.end(ops[0], Outcome::Failed(failure.clone())));
    let [Settlement { verdict: Verdict::Retry { delay, failed }, .. }] = &settle[..] else { panic!("{settle:?}") };
    assert_eq!(*delay, Micros::from_secs(7 * 24 * 3_600));
    let note = "The handler requested a retry after 2592000000 ms; the most is 604800000 ms (7 days).";
    assert_eq!(failed.message.lines().last(), Some(note));
    assert_eq!(failed.message.len(), Failure::MESSAGE_BYTES_MAX);
    let unchanged = Attempt { message: failure.message, ..failed.clone() };
    assert_eq!(failed.fingerprint(), unchanged.fingerprint(), "the fingerprint ignores the note");
}
