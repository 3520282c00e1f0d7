//! Settlements: the exact effect of each verdict on its row.

use crate::Store;
use crate::support::*;
use std::sync::Arc;
use tidegate_core::{AbandonCause, Attempt, DeadReason, ExecError, Micros, Settlement, TriggerSpec, Verdict};
use tidegate_ports::{DeadLetter, DeliveryState, DeliverySummary};

pub(crate) async fn done_deletes_the_row<S: Store>(store: Arc<S>) {
    let (app, lane) = with_listeners(&store).await;
    let waiting = app.waiting().await;
    app.go(1).await;
    let row = app.next(lane.id).await;

    let reply = app.settle(&row, done()).await;

    assert_eq!((app.delivery(row.id).await, reply.woken), (None, vec![]));
    assert_eq!((app.waiting().await, app.letters().await), (waiting, vec![]), "nothing else is written");
}

pub(crate) async fn a_retry_is_due_after_its_delay_and_keeps_its_history<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(1).await;
    let row = app.next(lane.id).await;
    let failed = threw(1, row.due_at, "it broke: \"ü\"\n\tat line 1\\2");
    let delay = Micros(60_000_007);

    let reply = app.settle(&row, Verdict::Retry { delay, failed: failed.clone() }).await;

    let expected = DeliverySummary {
        id: row.id,
        trigger: lane.spec.name.clone(),
        state: DeliveryState::Scheduled,
        event: row.event.clone(),
        attempt: 1,
        lost: 0,
        max_attempts: row.policy.max_attempts(),
        due_at: reply.now.plus(delay),
        enqueued_at: row.enqueued_at,
        failed: vec![failed],
    };
    assert_eq!(app.deliveries().await, [expected]);
    assert_eq!((app.claim(lane.id, 10).await, reply.woken), (vec![], vec![]));
}

/// The exchange that settles a retry without delay can also claim the row. The history then has one
/// entry.
pub(crate) async fn a_retry_without_delay_is_claimed_in_the_same_exchange<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(1).await;
    let row = app.next(lane.id).await;
    let failed = threw(1, row.due_at, "it broke");
    let retry = Verdict::Retry { delay: Micros::ZERO, failed: failed.clone() };

    let reply = app.exchange(vec![settlement(&row, retry)], vec![quota(lane.id, 5)]).await;

    let [again] = &reply.claimed[..] else { panic!("not exactly one row is claimed: {:#?}", reply.claimed) };
    assert_eq!((again.id, again.attempt, again.due_at), (row.id, 2, reply.now));
    assert_ne!(again.lease, row.lease);
    assert_eq!(again.event, row.event);
    assert_eq!(app.delivery(row.id).await.expect("the row exists").failed, [failed]);
}

pub(crate) async fn the_history_holds_every_attempt_in_order<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(1).await;
    let first = app.next(lane.id).await;
    let one = threw(1, first.due_at, "one");
    app.settle(&first, Verdict::Retry { delay: Micros::ZERO, failed: one.clone() }).await;
    let (second_at, _) = app.next_expiring(lane.id).await;
    let third = app.next_suspect(lane.id).await;
    let three = Attempt { error: ExecError::EndpointStatus(503), ..threw(3, third.due_at, "three") };
    app.settle(&third, Verdict::Retry { delay: Micros::ZERO, failed: three.clone() }).await;
    let fourth = app.next_suspect(lane.id).await;
    let history = [one, lost(2, second_at), three];
    assert_eq!(app.delivery(first.id).await.expect("the row exists").failed, history);
    let four = threw(4, fourth.due_at, "four");

    app.settle(&fourth, dead(four.clone())).await;

    let [letter] = &app.letters().await[..] else { panic!("not exactly one letter") };
    assert_eq!(letter.failed, [&history[..], &[four]].concat());
}

pub(crate) async fn every_error_class_reads_back<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let lane = app.trigger(&TriggerSpec { retry: attempts(100), ..on_app("lane", "go") }).await;
    app.go(1).await;
    let errors = [
        ExecError::Timeout,
        ExecError::ScriptError,
        ExecError::ResourceLimit,
        ExecError::ScriptUnavailable,
        ExecError::ScriptDefect,
        ExecError::InvalidJson,
        ExecError::HandlerMissing,
        ExecError::PrincipalDenied,
        ExecError::InvalidReply,
        ExecError::EndpointUnreachable,
        ExecError::EndpointStatus(500),
        ExecError::EffectsConflict,
        ExecError::Overloaded,
        ExecError::Lost,
        ExecError::Internal,
        ExecError::LoopRefused,
    ];
    let mut history = Vec::new();
    let mut row = app.next(lane.id).await;
    for error in errors {
        let failed = Attempt { error, ..threw(row.attempt, row.due_at, error.code()) };
        history.push(failed.clone());
        app.settle(&row, Verdict::Retry { delay: Micros::ZERO, failed }).await;
        row = app.next(lane.id).await;
    }

    assert_eq!(app.delivery(row.id).await.expect("the row exists").failed, history);
}

pub(crate) async fn dead_moves_the_row_to_the_dead_letters<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(1).await;
    let row = app.next(lane.id).await;
    let failed = threw(1, row.due_at, "it broke at 1:23");

    let reply = app.settle(&row, dead(failed.clone())).await;

    let letters = app.letters().await;
    let expected = DeadLetter {
        id: letters[0].id,
        delivery_id: row.id,
        trigger: lane.spec.name.clone(),
        trigger_version: lane.version,
        handler: Some(lane.spec.handler.clone()),
        script_version: None,
        principal: registrant(),
        event: row.event.clone(),
        reason: DeadReason::Permanent,
        attempts: 1,
        fingerprint: failed.fingerprint(),
        failed: vec![failed],
        enqueued_at: row.enqueued_at,
        created_at: reply.now,
        resolution: None,
        handler_failure: None,
        redrive_generation: 0,
        previous_letter_id: None,
    };
    assert_eq!(letters, [expected]);
    assert_eq!(app.deliveries().await, []);
    assert!(app.trigger_named("lane").await.expect("the trigger exists").spec.enabled);
}

/// The last attempt was lost, and the store has recorded it. The verdict adds no attempt.
pub(crate) async fn dead_after_a_loss_keeps_its_record<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let lane = app.trigger(&TriggerSpec { retry: attempts(1), ..on_app("lane", "go") }).await.id;
    app.go(1).await;
    let (claimed_at, _) = app.next_expiring(lane).await;
    let row = app.next_suspect(lane).await;

    let verdict = Verdict::Dead {
        reason: DeadReason::Lost,
        attempts: 1,
        failed: None,
        fingerprint: "0123456789abcdef".to_owned(),
        disable_trigger: false,
    };
    app.settle(&row, verdict).await;

    let [letter] = &app.letters().await[..] else { panic!("not exactly one letter") };
    assert_eq!(letter.failed, [lost(1, claimed_at)]);
    assert_eq!((letter.attempts, letter.reason), (1, DeadReason::Lost));
    assert_eq!(letter.fingerprint, "0123456789abcdef");
}

pub(crate) async fn dead_without_any_attempt_has_no_history<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    let reasons = [
        DeadReason::AttemptsExhausted,
        DeadReason::MaxAge,
        DeadReason::Permanent,
        DeadReason::PrincipalDenied,
        DeadReason::HandlerMissing,
    ];
    for reason in reasons {
        app.go(1).await;
        let row = app.next(lane.id).await;
        let fingerprint = "f".to_owned();
        let verdict = Verdict::Dead { reason, attempts: 0, failed: None, fingerprint, disable_trigger: false };
        app.settle(&row, verdict).await;
    }

    let mut letters = app.letters().await;
    letters.reverse();
    assert_eq!(letters.iter().map(|letter| letter.reason).collect::<Vec<_>>(), reasons);
    assert!(letters.iter().all(|letter| letter.failed.is_empty() && letter.attempts == 0), "{letters:#?}");
}

pub(crate) async fn a_letter_of_a_deleted_trigger_keeps_its_name<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(1).await;
    app.delete_trigger("lane").await;
    let row = app.next(lane.id).await;

    app.settle(&row, dead(Attempt { error: ExecError::HandlerMissing, ..threw(1, row.due_at, "no handler") })).await;

    let [letter] = &app.letters().await[..] else { panic!("not exactly one letter") };
    assert_eq!((letter.trigger.as_str(), &letter.handler), ("lane", &None));
    assert_eq!((&letter.principal, &letter.event), (&registrant(), &row.event));
}

pub(crate) async fn dead_can_disable_its_trigger<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    let other = app.trigger(&on_app("other", "go")).await;
    app.go(2).await;
    let rows = app.claim(lane.id, 1).await;
    let failed = Attempt { error: ExecError::EndpointStatus(410), ..threw(1, rows[0].due_at, "gone") };
    let verdict = Verdict::Dead {
        reason: DeadReason::Permanent,
        attempts: 1,
        fingerprint: failed.fingerprint(),
        failed: Some(failed),
        disable_trigger: true,
    };

    app.settle(&rows[0], verdict).await;

    assert!(!app.trigger_named("lane").await.expect("the trigger exists").spec.enabled);
    assert!(app.trigger_named("other").await.expect("the trigger exists").spec.enabled);
    assert_eq!(woken(&app.go(1).await[0]), [other.id], "the trigger gets no new rows");
    assert_eq!(app.claim(lane.id, 10).await.len(), 1, "rows from before the change still run");
}

pub(crate) async fn dropped_deletes_the_row_and_makes_no_letter<S: Store>(store: Arc<S>) {
    let (app, lane) = with_listeners(&store).await;
    app.go(3).await;
    let waiting = app.waiting().await.len();
    for row in app.claim(lane.id, 3).await {
        let reply = app.settle(&row, Verdict::Dropped).await;
        assert_eq!((app.delivery(row.id).await, reply.woken), (None, vec![]));
    }
    assert_eq!((app.waiting().await.len(), app.letters().await), (waiting - 3, vec![]));
}

/// Several deliveries of one chain can be dropped. The ledger of loops counts each of them.
pub(crate) async fn a_loop_is_dropped_every_time<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(1).await;
    let mut row = app.next(lane.id).await;
    let root = row.event.root_id;
    for depth in 1..4 {
        let effects = tidegate_core::Effects {
            events: vec![new_event("go", "a", "null"), new_event("go", "b", "null")],
            ..Default::default()
        };
        app.settle(&row, done_with(effects)).await;
        let rows = app.claim(lane.id, 2).await;
        assert!(rows.iter().all(|row| row.event.depth == depth && row.event.root_id == root), "{rows:#?}");
        app.settle(&rows[0], Verdict::Dropped).await;
        row = rows[1].clone();
    }
    app.settle(&row, Verdict::Dropped).await;
    assert_eq!((app.deliveries().await, app.letters().await), (vec![], vec![]));
}

pub(crate) async fn deferred_does_not_count_the_attempt<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(1).await;
    let row = app.next(lane.id).await;
    let delay = Micros(60_000_003);

    let reply = app.settle(&row, Verdict::Deferred { delay }).await;

    let deferred = app.delivery(row.id).await.expect("the row exists");
    assert_eq!(
        (deferred.attempt, deferred.state, deferred.due_at),
        (0, DeliveryState::Scheduled, reply.now.plus(delay))
    );
    assert_eq!((deferred.failed, deferred.enqueued_at), (vec![], row.enqueued_at));
}

/// A daemon that shuts down defers its rows without delay. The next daemon continues with the same
/// attempt number.
pub(crate) async fn deferred_changes_only_the_number_of_the_claim<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(1).await;
    let first = app.next(lane.id).await;
    let failed = threw(1, first.due_at, "it broke");
    app.settle(&first, Verdict::Retry { delay: Micros::ZERO, failed: failed.clone() }).await;
    let second = app.next(lane.id).await;
    let defer = settlement(&second, Verdict::Deferred { delay: Micros::ZERO });

    let reply = app.exchange(vec![defer], vec![quota(lane.id, 5)]).await;

    let [third] = &reply.claimed[..] else {
        panic!("the same exchange does not claim exactly one row: {:#?}", reply.claimed)
    };
    assert_eq!((third.id, third.attempt, third.lost), (second.id, 2, 0));
    assert_ne!(third.lease, second.lease);
    assert_eq!(app.delivery(third.id).await.expect("the row exists").failed, [failed]);
}

pub(crate) async fn abandoned_deletes_the_row_and_makes_no_letter<S: Store>(store: Arc<S>) {
    let (app, lane) = with_listeners(&store).await;
    for cause in [AbandonCause::NodeLost, AbandonCause::CallerGone] {
        app.go(1).await;
        let row = app.next(lane.id).await;
        let waiting = app.waiting().await.len();
        let reply = app.settle(&row, Verdict::Abandoned { cause }).await;
        assert_eq!((app.delivery(row.id).await, reply.woken), (None, vec![]));
        assert_eq!((app.waiting().await.len(), app.letters().await), (waiting - 1, vec![]));
    }
}

pub(crate) async fn one_exchange_settles_the_last_batch_and_claims_the_next<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(500).await;
    let mut handled = Vec::new();
    let mut claimed = app.claim(lane.id, 64).await;
    while !claimed.is_empty() {
        handled.extend(ids(&claimed));
        let settle = claimed.iter().map(|row| settlement(row, done())).collect();
        let reply = app.exchange(settle, vec![quota(lane.id, 64)]).await;
        assert_eq!((reply.fenced, reply.conflicted), (vec![], vec![]));
        claimed = reply.claimed;
    }
    assert_eq!(handled.len(), 500);
    assert!(handled.is_sorted_by(|one, next| one < next), "the rows are claimed in order, none twice");
    assert_eq!(app.deliveries().await, []);
}

pub(crate) async fn one_exchange_applies_every_kind_of_verdict<S: Store>(store: Arc<S>) {
    let (app, lane) = with_listeners(&store).await;
    let verdicts = async_verdicts();
    let others = app.waiting().await.len();
    app.go(3 * verdicts.len() as u32).await;
    let rows = app.claim(lane.id, 1_000).await;
    // Three settlements write the same key without reading it, which is no conflict.
    let settle: Vec<Settlement> =
        rows.iter().zip(verdicts.iter().cycle()).map(|(row, verdict)| settlement(row, verdict.clone())).collect();

    let reply = app.exchange(settle.clone(), Vec::new()).await;

    assert_eq!((reply.fenced, reply.conflicted), (vec![], vec![]));
    let stays = |verdict: &Verdict| matches!(verdict, Verdict::Retry { .. } | Verdict::Deferred { .. });
    let expected: Vec<_> = settle.iter().filter(|one| stays(&one.verdict)).map(|one| one.claim.delivery).collect();
    let left: Vec<_> = app.deliveries().await.into_iter().filter(|row| row.trigger.as_str() == "lane").collect();
    assert_eq!(left.iter().map(|row| row.id).collect::<Vec<_>>(), expected);
    let letters = app.letters().await;
    let dead_count = verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Dead { .. })).count();
    assert_eq!(letters.len(), 3 * dead_count);
    // Rows for the listeners. The first settlement with effects changes two keys, and the later two
    // change one key, because the deleted key is absent by then. Each of the three emits one event.
    // Each dead letter makes one row.
    let made = app.waiting().await.len() - left.len() - others;
    assert_eq!(made, (2 + 1 + 1) + 3 + 3 * dead_count);
}
