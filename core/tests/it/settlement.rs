//! The table of verdicts, row by row.

use crate::fixtures::*;
use tidegate_core::*;

const RUN: Run = Run { start_wait: Micros(90_000), started_at: NOW, duration: Micros(500) };
const DEFERRAL: Micros = Micros(250_000);

fn attempt(delivery: &Delivery, error: ExecError) -> Attempt {
    let message = "boom".to_owned();
    Attempt { attempt: delivery.attempt, started_at: NOW, duration: Some(Micros(500)), error, message }
}

fn dead(delivery: &Delivery, reason: DeadReason, error: ExecError) -> Verdict {
    let failed = attempt(delivery, error);
    Verdict::Dead {
        reason,
        attempts: delivery.attempt + delivery.lost,
        fingerprint: failed.fingerprint(),
        failed: Some(failed),
        disable_trigger: false,
    }
}

fn success() -> Outcome {
    Outcome::Succeeded { effects: effects(), reply: None }
}

fn dead_letter_handler() -> Delivery {
    Delivery { handles_letter: Some(DeadLetterId(5)), policy: policy(1), ..delivery(1, 1) }
}

#[test]
fn a_success_is_done_with_its_effects() {
    assert_eq!(settle(&delivery(1, 1), success(), RUN, KEY, DEFERRAL), Verdict::Done { effects: effects() });
}

#[test]
fn a_retryable_failure_is_due_again_after_the_back_off() {
    let delivery = delivery(1, 1);
    let delay = Micros::from_millis(100);
    let failed_attempt = attempt(&delivery, ExecError::ScriptError);
    assert_eq!(
        settle(&delivery, failed(ExecError::ScriptError), RUN, KEY, DEFERRAL),
        Verdict::Retry { delay, failed: failed_attempt }
    );
}

#[test]
fn retry_after_makes_the_back_off_longer() {
    let failure = Failure { retry_after: Some(Micros::from_secs(9)), ..Failure::new(ExecError::Timeout, "boom") };
    let verdict = settle(&delivery(1, 1), Outcome::Failed(failure), RUN, KEY, DEFERRAL);
    assert!(matches!(verdict, Verdict::Retry { delay, .. } if delay == Micros::from_secs(9)), "{verdict:?}");
}

#[test]
fn a_failed_last_attempt_makes_a_dead_letter_however_many_were_lost() {
    for (number, lost, is_dead) in [(1, 0, false), (2, 2, false), (3, 0, true), (3, 2, true), (4, 0, true)] {
        let delivery = Delivery { attempt: number, lost, ..delivery(1, 1) };
        let verdict = settle(&delivery, failed(ExecError::Timeout), RUN, KEY, DEFERRAL);
        if is_dead {
            let Verdict::Dead { attempts, .. } = verdict else { panic!("{verdict:?}") };
            assert_eq!(attempts, number + lost, "a letter counts failures and losses");
            assert_eq!(verdict, dead(&delivery, DeadReason::AttemptsExhausted, ExecError::Timeout));
        } else {
            assert!(matches!(verdict, Verdict::Retry { .. }), "{verdict:?}");
        }
    }
}

#[test]
fn a_permanent_failure_makes_a_dead_letter_at_once() {
    for (error, reason) in [
        (ExecError::ScriptUnavailable, DeadReason::Permanent),
        (ExecError::InvalidReply, DeadReason::Permanent),
        (ExecError::EndpointStatus(400), DeadReason::Permanent),
        (ExecError::PrincipalDenied, DeadReason::PrincipalDenied),
        (ExecError::HandlerMissing, DeadReason::HandlerMissing),
    ] {
        let delivery = delivery(1, 1);
        assert_eq!(settle(&delivery, failed(error), RUN, KEY, DEFERRAL), dead(&delivery, reason, error));
    }
}

#[test]
fn a_webhook_that_answers_410_disables_its_trigger() {
    let verdict = settle(&delivery(1, 1), failed(ExecError::EndpointStatus(410)), RUN, KEY, DEFERRAL);
    assert!(
        matches!(verdict, Verdict::Dead { reason: DeadReason::Permanent, disable_trigger: true, .. }),
        "{verdict:?}"
    );
}

#[test]
fn a_retry_that_would_be_due_after_max_age_makes_a_dead_letter() {
    // The next attempt would be due 100 ms of back-off and 500 µs of execution after the row was
    // written.
    for (max_age_ms, is_dead) in [(100, true), (101, false)] {
        let spec = RetryPolicySpec { max_age_ms: Some(max_age_ms), ..policy(3).into() };
        let delivery = Delivery { policy: RetryPolicy::try_from(spec).unwrap(), ..delivery(1, 1) };
        let verdict = settle(&delivery, failed(ExecError::Timeout), RUN, KEY, DEFERRAL);
        if is_dead {
            assert_eq!(verdict, dead(&delivery, DeadReason::MaxAge, ExecError::Timeout));
        } else {
            assert!(matches!(verdict, Verdict::Retry { .. }), "{verdict:?}");
        }
    }
}

#[test]
fn a_dead_letter_handler_is_never_retried() {
    let handler = dead_letter_handler();
    assert_eq!(settle(&handler, success(), RUN, KEY, DEFERRAL), Verdict::Handled { effects: effects() });
    for error in [ExecError::Timeout, ExecError::HandlerMissing, ExecError::PrincipalDenied] {
        let failed_attempt = attempt(&handler, error);
        assert_eq!(
            settle(&handler, failed(error), RUN, KEY, DEFERRAL),
            Verdict::HandlerFailed { failed: failed_attempt }
        );
    }
}

#[test]
fn a_sync_delivery_is_never_retried_and_its_failure_applies_no_effects() {
    let sync = Delivery { reply_to: Some(inbox()), ..delivery(1, 1) };
    let outcome = SyncOutcome { status: 200, error: None, message: None };
    assert_eq!(
        settle(&sync, success(), RUN, KEY, DEFERRAL),
        Verdict::Executed { effects: effects(), outcome, reply: None }
    );
    for (error, status) in [(ExecError::Timeout, 504), (ExecError::HandlerMissing, 404), (ExecError::Internal, 500)] {
        let outcome = SyncOutcome { status, error: Some(error), message: Some("boom".to_owned()) };
        let verdict = Verdict::Executed { effects: Effects::default(), outcome, reply: None };
        assert_eq!(settle(&sync, failed(error), RUN, KEY, DEFERRAL), verdict);
    }
}

#[test]
fn a_handler_that_did_not_start_defers_its_delivery_without_an_attempt() {
    let not_started = || Outcome::NotStarted { reason: "no thread".to_owned() };
    let last_attempt = Delivery { attempt: 3, ..delivery(1, 1) };
    for delivery in [delivery(1, 1), last_attempt, dead_letter_handler()] {
        assert_eq!(settle(&delivery, not_started(), RUN, KEY, DEFERRAL), Verdict::Deferred { delay: DEFERRAL });
    }
    let sync = Delivery { reply_to: Some(inbox()), ..delivery(1, 1) };
    let message = "the handler did not start: no thread; nothing was applied; call again later".to_owned();
    let outcome = SyncOutcome { status: 503, error: Some(ExecError::Overloaded), message: Some(message) };
    let verdict = Verdict::Executed { effects: Effects::default(), outcome, reply: None };
    assert_eq!(settle(&sync, not_started(), RUN, KEY, DEFERRAL), verdict);
}

#[test]
fn an_event_that_is_too_deep_is_dropped_before_any_other_rule_counts() {
    for (depth, dropped) in [(16, false), (17, true), (u32::MAX, true)] {
        for base in [delivery(1, 1), Delivery { attempt: 9, ..delivery(1, 1) }] {
            let delivery = Delivery { event: event(depth), ..base };
            assert_eq!(refuse(&delivery, 16, NOW) == Some(Verdict::Dropped), dropped, "{depth}");
        }
    }
}

#[test]
fn a_dead_letter_handler_runs_at_any_depth() {
    for depth in [16, 17, u32::MAX] {
        let handler = Delivery { event: event(depth), ..dead_letter_handler() };
        assert_eq!(refuse(&handler, 16, NOW), None, "{depth}");
    }
}

#[test]
fn the_last_permitted_loss_makes_a_dead_letter_and_the_handler_does_not_begin_again() {
    for (max_attempts, lost, is_dead) in [(3, 0, false), (3, 2, false), (3, 3, true), (1, 0, false), (1, 1, true)] {
        let row = Delivery { lost, policy: policy(max_attempts), ..delivery(1, 1) };
        let verdict = refuse(&row, 16, NOW);
        if is_dead {
            let Some(Verdict::Dead { reason, attempts, failed, .. }) = verdict else { panic!("{verdict:?}") };
            assert_eq!((reason, attempts, failed), (DeadReason::Lost, lost, None));
        } else {
            assert_eq!(verdict, None);
        }
    }
}

#[test]
fn a_second_attempt_after_max_age_makes_a_dead_letter_and_a_first_attempt_runs() {
    let spec = RetryPolicySpec { max_age_ms: Some(1_000), ..policy(3).into() };
    let old = Delivery { policy: RetryPolicy::try_from(spec).unwrap(), ..delivery(1, 1) };
    let later = NOW.plus(Micros::from_millis(1_001));
    assert_eq!(refuse(&old, 16, later), None);
    for second in [Delivery { attempt: 2, ..old.clone() }, Delivery { lost: 1, ..old }] {
        assert_eq!(refuse(&second, 16, NOW.plus(Micros::from_millis(1_000))), None);
        let verdict = refuse(&second, 16, later);
        assert!(matches!(verdict, Some(Verdict::Dead { reason: DeadReason::MaxAge, attempts: 1, .. })), "{verdict:?}");
    }
}

#[test]
fn a_claimed_sync_row_is_abandoned_and_never_executed() {
    let sync = Delivery { reply_to: Some(inbox()), ..delivery(1, 1) };
    assert_eq!(refuse(&sync, 16, NOW), Some(Verdict::Abandoned { cause: AbandonCause::NodeLost }));
}

#[test]
fn a_delivery_that_its_principal_may_not_run_is_not_executed() {
    for standing in [Standing::Missing, Standing::Disabled, Standing::Denied] {
        let denied = |base: Delivery| refuse(&Delivery { standing, ..base }, 16, NOW);
        for (attempt, made) in [(1, 0), (3, 2), (4, 3)] {
            let verdict = denied(Delivery { attempt, ..delivery(1, 1) });
            let Some(Verdict::Dead { reason, attempts, failed: Some(failed), .. }) = verdict else {
                panic!("{verdict:?}")
            };
            assert_eq!((reason, attempts, failed.attempt), (DeadReason::PrincipalDenied, made, attempt));
            assert_eq!((failed.error, failed.started_at), (ExecError::PrincipalDenied, NOW));
        }
        let verdict = denied(dead_letter_handler());
        assert!(
            matches!(&verdict, Some(Verdict::HandlerFailed { failed }) if failed.error == ExecError::PrincipalDenied)
        );
        let orphan = denied(Delivery { reply_to: Some(inbox()), ..delivery(1, 1) });
        assert_eq!(orphan, Some(Verdict::Abandoned { cause: AbandonCause::NodeLost }));
        let deep = denied(Delivery { event: event(17), ..delivery(1, 1) });
        assert_eq!(deep, Some(Verdict::Dropped), "the rule of the depth comes first");
    }
}

#[test]
fn a_lost_attempt_of_a_dead_letter_handler_counts_as_failed() {
    assert_eq!(refuse(&dead_letter_handler(), 16, NOW), None);
    let verdict = refuse(&Delivery { lost: 1, ..dead_letter_handler() }, 16, NOW);
    let Some(Verdict::HandlerFailed { failed }) = verdict else { panic!("{verdict:?}") };
    assert_eq!((failed.attempt, failed.error), (1, ExecError::Lost));
}

#[test]
fn the_idempotency_key_is_the_same_for_every_attempt_and_redrive() {
    let first = delivery(3, 1);
    let again = Delivery { attempt: 2, lease: Lease(2), redrive_generation: 1, id: DeliveryId(9), ..first.clone() };
    assert_eq!(first.idempotency_key(), again.idempotency_key());
    assert_eq!(first.idempotency_key(), "00000000-0000-0000-0000-00000000000a:3");
    assert_ne!(first.idempotency_key(), delivery(4, 1).idempotency_key());
}

#[test]
fn equal_failures_have_the_same_fingerprint() {
    let of =
        |error, message: &str| Attempt { message: message.to_owned(), ..attempt(&delivery(1, 1), error) }.fingerprint();
    let base = of(ExecError::ScriptError, "no order 17\n  at a.js:3");
    assert_eq!(base, of(ExecError::ScriptError, "no order 123456\n  at b.js:9"));
    assert_ne!(base, of(ExecError::Timeout, "no order 17"));
    assert_ne!(base, of(ExecError::ScriptError, "no customer 17"));
}
