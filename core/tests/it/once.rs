//! A handler that begins once never begins again, even if a shutdown cancels it.

use crate::bench::*;
use crate::fixtures::*;
use tidegate_core::*;

/// The verdict about a delivery whose execution a shutdown cancels after 500 ms.
fn verdict_of_cancelled(delivery: Delivery) -> Verdict {
    let (mut bench, ops) = Bench::running(config(|spec| spec.shutdown_grace_ms = 500), vec![delivery]);
    assert_eq!(ops.len(), 1);
    bench.after(Micros(1), Input::ShutdownRequested);
    let drained = bench.after(Micros::from_millis(500), Input::Tick);
    assert!(drained.actions.contains(&Action::Cancel { op: ops[0] }));
    let (_, mut settle, _) = only_exchange(&drained);
    settle.remove(0).verdict
}

#[test]
fn a_shutdown_releases_a_delivery_that_may_begin_again() {
    assert_eq!(verdict_of_cancelled(delivery(1, 1)), Verdict::Deferred { delay: Micros::ZERO });
}

#[test]
fn a_shutdown_fails_the_only_attempt() {
    let verdict = verdict_of_cancelled(Delivery { policy: policy(1), ..delivery(1, 1) });
    let Verdict::Dead { reason, attempts, failed: Some(failed), .. } = verdict else { panic!("{verdict:?}") };
    assert_eq!((reason, attempts, failed.error), (DeadReason::AttemptsExhausted, 1, ExecError::Lost));
    assert!(failed.message.starts_with("the daemon was shut down"), "{}", failed.message);
}

#[test]
fn a_shutdown_fails_a_dead_letter_handler() {
    let verdict = verdict_of_cancelled(Delivery { handles_letter: Some(DeadLetterId(5)), ..delivery(1, 1) });
    let Verdict::HandlerFailed { failed } = verdict else { panic!("{verdict:?}") };
    assert_eq!(failed.error, ExecError::Lost);
}
