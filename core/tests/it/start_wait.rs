//! The wait of an execution before its handler begins is not part of the run.

use crate::bench::*;
use crate::fixtures::*;
use tidegate_core::*;

const WAIT: Micros = Micros::from_millis(600);
const RUNNING: Micros = Micros::from_millis(300);
const ALL: Micros = Micros::from_millis(900);

/// A failed attempt whose handler began after `start_wait`, and the run of its fact. The execution
/// ends after 900 ms.
fn failed_attempt(start_wait: Micros) -> (Attempt, Run) {
    let (mut bench, ops) = Bench::running(config(|_| ()), vec![delivery(1, 1)]);
    let ended = bench.end_after(ALL, ops[0], failed(ExecError::ScriptError), start_wait);
    let (op, settle, _) = only_exchange(&ended);
    let Verdict::Retry { failed: attempt, .. } = &settle[0].verdict else { panic!("{settle:?}") };
    let settled = bench.answer(op, exchanged());
    let run = |fact: &Fact| if let Fact::DeliverySettled { run, .. } = fact { *run } else { None };
    (attempt.clone(), settled.facts.iter().find_map(run).unwrap())
}

#[test]
fn an_attempt_lasts_from_the_begin_of_its_handler_to_its_end() {
    let (attempt, run) = failed_attempt(WAIT);
    assert_eq!((attempt.started_at, attempt.duration), (NOW.plus(WAIT), Some(RUNNING)));
    assert_eq!(run, Run { start_wait: WAIT, started_at: NOW.plus(WAIT), duration: RUNNING });
}

#[test]
fn a_wait_is_at_most_the_whole_time_of_its_execution() {
    let (attempt, run) = failed_attempt(Micros(u64::MAX));
    assert_eq!((attempt.started_at, attempt.duration), (NOW.plus(ALL), Some(Micros::ZERO)));
    assert_eq!(run.start_wait, ALL);
}

#[test]
fn an_execution_that_overran_counts_from_its_permit() {
    let (mut bench, _) = Bench::running(config(|_| ()), vec![delivery(1, 1)]);
    let overran = bench.after(Micros::from_secs(4), Input::Tick);
    let (_, settle, _) = only_exchange(&overran);
    let Verdict::Retry { failed, .. } = &settle[0].verdict else { panic!("{settle:?}") };
    assert_eq!((failed.started_at, failed.duration), (NOW, Some(Micros::from_secs(4))));
}

/// The attempt fails when the answer to its last settlement arrives. Its run ended before.
#[test]
fn an_attempt_that_failed_because_of_conflicts_has_the_time_of_its_last_run() {
    let row = delivery(1, 1);
    let (mut bench, mut ops) = Bench::running(config(|spec| spec.lease_ms = 100_000), vec![row.clone()]);
    let began = bench.now;
    for conflicts in 1.. {
        let permit_at = NOW.plus(Micros(bench.now.since(began).0));
        let (op, settle, _) = only_exchange(&bench.end_after(ALL, ops[0], succeeded(), WAIT));
        assert_eq!(settle, [done(&row)]);
        let reply = ExchangeReply {
            now: NOW.plus(Micros(bench.now.since(began).0 + 1_000)),
            fenced: vec![],
            conflicted: vec![claim_of(&row)],
            claimed: vec![],
            suspects: 0,
            is_cut: false,
            woken_lanes: vec![],
        };
        let answered = bench.answer(op, Reply::Exchange(reply));
        let again = executions(&answered);
        if let [(op, _)] = again[..] {
            ops[0] = op;
            continue;
        }
        assert_eq!(conflicts, 21);
        let (_, settle, _) = only_exchange(&answered);
        let Verdict::Retry { failed, .. } = &settle[0].verdict else { panic!("{settle:?}") };
        assert_eq!(failed.error, ExecError::EffectsConflict);
        assert_eq!((failed.started_at, failed.duration), (permit_at.plus(WAIT), Some(RUNNING)));
        return;
    }
}

/// The rate of the prefetch counts executions that end, and permits become free when executions
/// end. So a wait for a thread counts like the run after it.
#[test]
fn a_wait_changes_no_claim() {
    let claims = |start_wait: Micros| {
        let deliveries = (1..=100).map(|id| delivery(1, id)).collect();
        let (mut bench, ops) = Bench::running(config(|spec| spec.gate.permits = 200), deliveries);
        let mut drained: Vec<_> =
            ops.iter().map(|op| bench.end_after(Micros(100), *op, succeeded(), start_wait)).collect();
        let (op, _, _) = exchanges(&drained[0])[0];
        drained.push(bench.answer(op, exchanged()));
        drained.iter().flat_map(|drained| drained.actions.clone()).collect::<Vec<_>>()
    };
    let with_wait = claims(Micros(90));
    assert!(with_wait.len() > 1, "{with_wait:?}");
    assert_eq!(with_wait, claims(Micros::ZERO));
}
