//! Suspects: rows that were lost when their handler may have begun. One of them runs at a time.

use crate::bench::*;
use crate::fixtures::*;
use std::sync::Arc;
use tidegate_core::*;

fn suspect(trigger: i64, id: i64) -> Delivery {
    Delivery { lost: 1, policy: policy(5), ..delivery(trigger, id) }
}

/// The lane of each suspect that the exchanges claim.
fn suspect_claims(drained: &Drained) -> Vec<i64> {
    let of = |action: &Action| match action {
        Action::CallStore { request: Request::Exchange { suspect, .. }, .. } => Some(suspect.as_ref()?.trigger.0),
        _ => None,
    };
    drained.actions.iter().filter_map(of).collect()
}

/// A dispatcher that has discovered these lanes with suspects, and its first outputs.
fn quarantined(lanes: &[i64]) -> (Bench, Drained) {
    let mut bench = Bench::new(config(|_| ()));
    let op = only_discover(&bench.drain());
    let drained = bench.answer(op, suspects_discovered(lanes));
    (bench, drained)
}

#[test]
fn one_suspect_runs_at_a_time_and_the_exchange_that_settles_it_claims_the_next() {
    let (mut bench, drained) = quarantined(&[1, 2]);
    assert_eq!(suspect_claims(&drained), [1]);
    let (op, settle, claim) = only_exchange(&drained);
    assert_eq!((settle, claim), (vec![], vec![]), "no quota gives suspects");

    let drained = bench.answer(op, claimed(vec![suspect(1, 1)]));
    let [(execution, _)] = executions(&drained)[..] else { panic!("{:?}", drained.actions) };
    assert_eq!(suspect_claims(&drained), Vec::<i64>::new(), "a suspect runs");
    let woken = bench.after(Micros(1), Input::WakeUp { lanes: vec![TriggerId(3)], discover: false });
    assert_eq!(suspect_claims(&woken), Vec::<i64>::new(), "other rows run beside it");
    bench.answer(only_exchange(&woken).0, exchanged());

    let drained = bench.end(execution, succeeded());
    let (op, settle, _) = only_exchange(&drained);
    assert_eq!(settle, [done(&suspect(1, 1))]);
    assert_eq!(suspect_claims(&drained), [2], "lane by lane in turn");
    let drained = bench.answer(op, exchanged());
    assert_eq!(suspect_claims(&drained), [1], "lane 2 had none, and lane 1 may have another one");
    let (op, _, _) = only_exchange(&drained);
    assert_eq!(bench.answer(op, exchanged()).actions, []);
}

#[test]
fn rows_that_were_held_ahead_run_together_and_before_the_queue_of_their_lane() {
    let (mut bench, drained) = quarantined(&[1]);
    let (op, _, _) = only_exchange(&drained);
    let rows: Vec<Delivery> = (1..=3).map(|id| delivery(1, id)).collect();
    let reply = ExchangeReply { suspects: 3, ..exchange_reply(rows) };
    let drained = bench.answer(op, Reply::Exchange(reply));
    let running = executions(&drained);
    assert_eq!(running.len(), 3);
    assert_eq!(suspect_claims(&drained), [0; 0]);
    for (nth, (execution, _)) in running.into_iter().enumerate() {
        let drained = bench.end(execution, succeeded());
        let (op, _, _) = only_exchange(&drained);
        assert_eq!(suspect_claims(&drained), if nth == 2 { vec![1] } else { vec![] });
        bench.answer(op, exchanged());
    }
}

#[test]
fn half_of_the_permits_beyond_the_reserve_are_for_suspects() {
    let (bench, drained) = quarantined(&[1]);
    let suspect_quota = |drained: &Drained| {
        drained.actions.iter().find_map(|action| match action {
            Action::CallStore { request: Request::Exchange { suspect, .. }, .. } => suspect.map(|claim| claim.quota),
            _ => None,
        })
    };
    let view = bench.dispatcher.view();
    let permits = view.permits - view.sync_reserve;
    assert_eq!(suspect_quota(&drained), Some((permits - permits / 8).div_ceil(2)));
}

#[test]
fn a_suspect_with_its_last_permitted_loss_dies_without_an_execution() {
    let (mut bench, drained) = quarantined(&[1]);
    let (op, _, _) = only_exchange(&drained);
    let drained = bench.answer(op, claimed(vec![Delivery { lost: 3, ..suspect(1, 1) }]));
    assert!(executions(&drained).is_empty());
    let (_, settle, _) = only_exchange(&drained);
    assert!(matches!(settle[0].verdict, Verdict::Dead { reason: DeadReason::Lost, attempts: 3, .. }), "{settle:?}");
    assert_eq!(suspect_claims(&drained), [1], "the same exchange claims the next one");
}

#[test]
fn no_suspect_is_claimed_while_the_renewal_of_the_own_claims_is_due_or_in_flight() {
    let patient = Delivery { timeout: Micros::from_secs(60), ..delivery(1, 1) };
    let (mut bench, _) = Bench::running(config(|c| c.poll_interval_ms = 60_000), vec![patient]);
    let renewing = bench.after(Micros::from_secs(10), Input::WakeUp { lanes: vec![], discover: true });
    let op = |wanted: &str| {
        let of = |action: &Action| match action {
            Action::CallStore { op, request } => (request.name() == wanted).then_some(*op),
            _ => None,
        };
        renewing.actions.iter().find_map(of).expect("the request is sent")
    };
    let drained = bench.answer(op("discover"), suspects_discovered(&[1]));
    assert_eq!(suspect_claims(&drained), Vec::<i64>::new(), "the expired claim may be its own");
    let drained = bench.answer(op("renew"), Reply::Renew(RenewReply { now: NOW, fenced: vec![] }));
    assert_eq!(suspect_claims(&drained), [1]);
}

#[test]
fn a_suspect_with_conflicting_effects_goes_back_if_another_one_was_claimed() {
    for is_next_found in [false, true] {
        let (mut bench, drained) = quarantined(&[1]);
        let (op, _, _) = only_exchange(&drained);
        let drained = bench.answer(op, claimed(vec![suspect(1, 1)]));
        let (op, _, _) = only_exchange(&bench.end(executions(&drained)[0].0, succeeded()));
        let reply = Reply::Exchange(ExchangeReply {
            now: NOW,
            fenced: vec![],
            conflicted: vec![claim_of(&suspect(1, 1))],
            claimed: if is_next_found { vec![Arc::new(suspect(1, 2))] } else { vec![] },
            suspects: is_next_found.into(),
            is_cut: false,
            woken_lanes: vec![],
        });
        let drained = bench.answer(op, reply);
        let running: Vec<i64> = executions(&drained).iter().map(|(_, delivery)| delivery.id.0).collect();
        if is_next_found {
            let (_, settle, _) = only_exchange(&drained);
            let released = Verdict::Deferred { delay: Micros::ZERO };
            assert_eq!(settle, [Settlement { claim: claim_of(&suspect(1, 1)), verdict: released }]);
            assert_eq!(running, [0; 0], "the other one waits, because the lane has conflicts");
        } else {
            assert_eq!(running, [1]);
        }
    }
}

#[test]
fn a_failed_claim_of_a_suspect_is_repeated() {
    let (mut bench, drained) = quarantined(&[1]);
    let drained = bench.fail(only_exchange(&drained).0, unavailable());
    let Some((Some(at), _)) = drained.idle else { panic!("{:?}", drained.idle) };
    let drained = bench.after(at.since(bench.now), Input::Tick);
    assert_eq!(suspect_claims(&drained), [1]);
}
