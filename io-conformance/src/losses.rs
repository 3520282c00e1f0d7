//! Losses: an expired claim is ended, and its rows become suspects. A suspect that was lost is
//! claimed alone; those that were held ahead are claimed together.

use crate::Store;
use crate::support::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use tidegate_core::{DeadReason, ExecError, Micros, SuspectLane, TriggerSpec, Verdict};
use tidegate_ports::{DeadLetterStore, DeliveryState, LetterSelection};

pub(crate) async fn the_rows_of_an_expired_claim_become_suspects<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(5).await;
    let lost = app.claim_expiring(lane.id, 3).await;
    let claimed = app.claim(lane.id, 10).await;
    assert_eq!(claimed.iter().map(|row| row.lost).collect::<Vec<_>>(), [0, 0], "no quota gives the rows of a claim");
    assert_eq!(app.lost_lanes().await, [lane.id]);

    let suspects = app.claim_suspects(lane.id).await;

    assert_eq!(ids(&suspects), ids(&lost));
    assert!(suspects.iter().all(|row| (row.attempt, row.lost) == (1, 1)), "{suspects:#?}");
    let numbers: BTreeSet<_> = suspects.iter().chain(&lost).map(|row| row.lease).collect();
    assert_eq!(numbers.len(), 4, "each suspect has a claim of its own");
    assert_eq!((app.lost_lanes().await, app.lanes().await), (vec![], vec![]));
    for (old, new) in lost.iter().zip(&suspects) {
        assert_eq!(app.try_settle(old, done()).await.fenced, [claim_of(old)]);
        app.settle(new, done()).await;
    }
}

pub(crate) async fn a_loss_is_recorded_and_counts_no_attempt<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(1).await;

    let (first_at, first) = app.next_expiring(lane.id).await;
    let (second_at, second) = app.next_suspect_expiring(lane.id).await;
    let third = app.next_suspect(lane.id).await;

    assert_eq!([first.attempt, second.attempt, third.attempt], [1, 1, 1]);
    assert_eq!([first.lost, second.lost, third.lost], [0, 1, 2]);
    assert_eq!((second.id, third.id), (first.id, first.id));
    assert_eq!(third.enqueued_at, first.enqueued_at);
    let row = app.delivery(first.id).await.expect("the row exists");
    assert_eq!(row.failed, [lost(1, first_at), lost(1, second_at)]);
    assert_eq!((row.attempt, row.lost, row.state), (1, 2, DeliveryState::Leased));
}

/// Only a claim of suspects gives these rows, and it starts them at once. So their next loss
/// counts.
pub(crate) async fn rows_that_were_held_ahead_are_not_lost<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(5).await;
    let held = app.claim_ahead(lane.id, 5, 2).await;
    app.settle(&held[3], done()).await;
    let (at, claimed) = app.end_expired(lane.id, A_MINUTE).await;
    assert_eq!(claimed.as_ref().map(|row| (row.id, row.lost)), Some((held[2].id, 0)), "it is due at once");
    let shown = app.deliveries().await;
    let of = |n: usize| shown.iter().find(|row| row.id == held[n].id).expect("the row exists");
    assert_eq!([0, 1, 2, 4].map(|n| of(n).lost), [1, 1, 0, 0]);
    assert_eq!([0, 1, 4].map(|n| of(n).due_at), [at.plus(A_MINUTE), at.plus(A_MINUTE), held[4].due_at]);
    let recorded = |n: usize| of(n).failed.iter().map(|one| (one.attempt, one.error)).collect::<Vec<_>>();
    assert_eq!([recorded(0), recorded(4)], [[(1, ExecError::Lost)], [(1, ExecError::NeverBegan)]]);
    assert_eq!(app.try_settle(&held[4], done()).await.fenced, [claim_of(&held[4])]);

    app.go(1).await;
    let (free, suspects) = app.claim_suspects_with(lane.id, 5, EXPIRED_AT_ONCE).await;

    assert_eq!((free.len(), ids(&suspects)), (1, vec![held[4].id]));
    assert_eq!(app.next_suspect(lane.id).await.lost, 1, "its second claim was to start it at once");
}

pub(crate) async fn suspects_that_were_held_ahead_are_claimed_together<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(6).await;
    let held = app.claim_ahead(lane.id, 6, 1).await;
    let (_, none) = app.claim_suspects_with(lane.id, 0, LEASE).await;
    assert_eq!(none, []);

    let (free, together) = app.claim_suspects_with(lane.id, 3, LEASE).await;

    assert_eq!((free, ids(&together)), (vec![], ids(&held[1..4])));
    assert!(together.iter().all(|row| (row.lost, row.attempt, row.lease) == (0, 1, together[0].lease)));
    let failed = threw(1, together[0].due_at, "it broke");
    app.settle(&together[0], Verdict::Retry { delay: Micros::ZERO, failed }).await;
    app.settle(&together[1], Verdict::Deferred { delay: Micros::ZERO }).await;
    let again = app.claim(lane.id, 9).await;
    assert_eq!(ids(&again), ids(&together[..2]), "they wait in their lane again");
}

/// So no row is lost again before all others have run.
pub(crate) async fn suspects_with_fewer_losses_come_first<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(4).await;
    let held = app.claim_expiring(lane.id, 2).await;
    let (_, again) = app.next_suspect_expiring(lane.id).await;
    assert_eq!((again.id, again.lost), (held[0].id, 1));
    let (_, next) = app.next_suspect_expiring(lane.id).await;
    assert_eq!((next.id, next.lost), (held[1].id, 1), "the first one has two losses now");
    let ahead = app.claim_ahead(lane.id, 1, 0).await;

    let order = app.claim_suspects(lane.id).await;

    assert_eq!(order.iter().map(|row| row.lost).collect::<Vec<_>>(), [0, 2, 2]);
    assert_eq!(order[0].id, ahead[0].id);
}

/// Such a row must not begin twice, and the claim that held it ahead may have begun it.
pub(crate) async fn a_row_that_permits_one_loss_is_lost_even_if_it_was_held_ahead<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    for (name, max_attempts, max_lost) in [("one", 5, 1), ("once", 1, 3)] {
        let retry = limits(max_attempts, max_lost);
        let lane = app.trigger(&TriggerSpec { retry, ..on_app(name, name) }).await.id;
        app.emit(vec![new_event(name, "", "null"); 2]).await;
        app.claim_ahead(lane, 2, 0).await;
        let suspects = app.claim_suspects(lane).await;
        assert_eq!(suspects.iter().map(|row| row.lost).collect::<Vec<_>>(), [1, 1], "{name}");
    }
}

pub(crate) async fn suspects_that_were_held_ahead_take_slots_of_their_lane<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let limited = app.trigger(&TriggerSpec { max_concurrency: limit(2), ..on_app("limited", "go") }).await.id;
    app.go(3).await;
    assert_eq!(app.claim_ahead(limited, 9, 0).await.len(), 2);
    let (free, suspects) = app.claim_suspects_with(limited, 2, LEASE).await;
    assert_eq!((free.len(), suspects.len()), (1, 1), "the quota takes one slot, and one is left");
    app.settle(&free[0], done()).await;
    assert_eq!(app.claim_suspects_with(limited, 2, LEASE).await.1.len(), 1);
}

/// The store does not decide that a row is dead: the dispatcher settles a row with its last
/// permitted loss without an execution. If the lease of that claim expires too, nothing is counted
/// or recorded.
pub(crate) async fn a_loss_beyond_the_limit_counts_nothing<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    for (name, max_attempts, max_lost, limit) in [("two", 5, 2, 2), ("one", 5, 1, 1), ("once", 1, 3, 1)] {
        let retry = limits(max_attempts, max_lost);
        let lane = app.trigger(&TriggerSpec { retry, ..on_app(name, name) }).await.id;
        app.emit(vec![new_event(name, "", "null")]).await;
        let (mut at, first) = app.next_expiring(lane).await;
        let mut history = Vec::new();
        for loss in 1..limit + 3 {
            let (next_at, row) = app.next_suspect_expiring(lane).await;
            history.extend((loss <= limit).then(|| lost(1, at)));
            at = next_at;
            assert_eq!((row.id, row.attempt, row.lost), (first.id, 1, loss.min(limit)), "{name}");
            let shown = app.delivery(row.id).await.expect("the row exists");
            assert_eq!((shown.failed, shown.lost), (history.clone(), loss.min(limit)), "{name}");
        }
    }
}

/// A retry and a deferral of a suspect make a suspect.
pub(crate) async fn a_suspect_stays_a_suspect<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(1).await;
    app.next_expiring(lane.id).await;
    let mut row = app.next_suspect(lane.id).await;
    let failed = threw(1, row.due_at, "it broke");
    let verdicts = [Verdict::Deferred { delay: Micros::ZERO }, Verdict::Retry { delay: Micros::ZERO, failed }];
    for (verdict, attempt) in verdicts.into_iter().zip([1, 2]) {
        let name = verdict.name();
        app.settle(&row, verdict).await;
        assert_eq!((app.lanes().await, app.claim(lane.id, 5).await), (vec![], vec![]), "{name}");
        assert_eq!(app.lost_lanes().await, [lane.id], "{name}");
        let again = app.next_suspect(lane.id).await;
        assert_eq!((again.id, again.attempt, again.lost), (row.id, attempt, 1), "{name}");
        row = again;
    }
}

/// The wait doubles with each loss of the row.
pub(crate) async fn a_suspect_is_due_after_its_back_off<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    for (loss, wait) in [(1, A_MINUTE), (2, A_MINUTE.saturating_mul(2)), (3, A_MINUTE.saturating_mul(4))] {
        let name = format!("n{loss}");
        let lane = app.trigger(&on_app(&name, &name)).await.id;
        app.emit(vec![new_event(&name, "", "null")]).await;
        let mut row = app.next_expiring(lane).await.1;
        for _ in 1..loss {
            row = app.next_suspect_expiring(lane).await.1;
        }
        let (ended_at, claimed) = app.end_expired(lane, A_MINUTE).await;
        assert_eq!(claimed, None, "loss {loss}");
        let due_at = ended_at.plus(wait);
        let suspects = app.suspect_lanes().await;
        assert_eq!(suspects.last(), Some(&SuspectLane { trigger: lane, next_due: due_at }), "loss {loss}");
        let shown = app.delivery(row.id).await.expect("the row exists");
        assert_eq!((shown.state, shown.due_at, shown.lost), (DeliveryState::Scheduled, due_at, loss));
    }
}

/// Rows that are settled after the end of the lease are not lost. The claim stays valid until it is
/// ended.
pub(crate) async fn only_the_rows_that_an_expired_claim_still_holds_are_lost<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(4).await;
    let rows = app.claim_expiring(lane.id, 4).await;
    app.settle(&rows[1], done()).await;
    app.settle(&rows[2], Verdict::Deferred { delay: Micros::ZERO }).await;

    let suspects = app.claim_suspects(lane.id).await;

    assert_eq!(ids(&suspects), [rows[0].id, rows[3].id]);
    assert_eq!(app.renew(&[&rows[0], &rows[3]], LEASE).await.len(), 2);
    let free = app.claim(lane.id, 9).await;
    assert_eq!((ids(&free), free[0].lost), (vec![rows[2].id], 0));
}

pub(crate) async fn a_live_claim_is_not_ended<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(2).await;
    let live = app.claim(lane.id, 1).await;
    let renewed = app.claim_expiring(lane.id, 1).await;
    assert_eq!(app.renew(&[&renewed[0]], LEASE).await, []);

    assert_eq!((app.lost_lanes().await, app.claim_suspects(lane.id).await), (vec![], vec![]));

    app.settle(&live[0], done()).await;
    app.settle(&renewed[0], done()).await;
}

/// The expired claims of a paused trigger are ended, and its suspects wait.
pub(crate) async fn a_paused_trigger_gives_no_suspects<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(1).await;
    let lost = app.claim_expiring(lane.id, 1).await;
    app.set_paused("lane", true).await;
    assert_eq!(app.lost_lanes().await, [lane.id], "an expired claim is ended in any case");
    assert_eq!((app.claim_suspects(lane.id).await, app.lost_lanes().await), (vec![], vec![]));
    assert_eq!(app.try_settle(&lost[0], done()).await.fenced, [claim_of(&lost[0])]);
    app.set_paused("lane", false).await;
    assert_eq!(app.lost_lanes().await, [lane.id]);
    assert_eq!(ids(&app.claim_suspects(lane.id).await), ids(&lost));
}

pub(crate) async fn a_suspect_takes_a_slot_of_its_lane<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let limited = app.trigger(&TriggerSpec { max_concurrency: limit(2), ..on_app("limited", "go") }).await.id;
    app.go(4).await;
    assert_eq!(app.claim_expiring(limited, 9).await.len(), 2);
    let first = app.next_suspect(limited).await;
    assert_eq!(app.claim(limited, 9).await.len(), 1, "one slot is left");
    assert_eq!(app.claim_suspects(limited).await, [], "no slot is free");

    app.settle(&first, done()).await;

    assert_eq!(app.claim_suspects(limited).await.len(), 1);
    assert_eq!(app.claim(limited, 9).await, []);
}

/// Rows of several expired claims, also of inline claims and of sync calls, are lost in one
/// exchange.
pub(crate) async fn all_expired_claims_of_a_lane_are_ended_at_once<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    let other = app.trigger(&on_app("other", "other")).await.id;
    app.go(4).await;
    let mut lost = Vec::new();
    for count in [2, 1, 1] {
        lost.append(&mut app.claim_expiring(lane.id, count).await);
    }
    app.emit(vec![new_event("other", "", "null")]).await;
    let of_other = app.claim_expiring(other, 1).await;

    let (_, row) = app.end_expired(lane.id, A_MINUTE).await;

    assert_eq!(row, None);
    assert_eq!(app.deliveries().await.iter().map(|row| row.lost).collect::<Vec<_>>(), [1, 1, 1, 1, 0]);
    app.settle(&of_other[0], done()).await;
    assert_eq!(app.renew(&lost.iter().collect::<Vec<_>>(), LEASE).await.len(), 4);
}

/// One exchange settles a suspect and claims the next one.
pub(crate) async fn one_exchange_settles_a_suspect_and_claims_the_next<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(2).await;
    let lost = app.claim_expiring(lane.id, 2).await;
    let first = app.next_suspect(lane.id).await;
    let next = app.settle_and_claim_suspect(&first, done(), lane.id).await;
    assert_eq!(next.map(|row| (row.id, row.lost)), Some((lost[1].id, 1)));
}

/// A dead letter lists its losses. The redriven delivery has none.
pub(crate) async fn a_redriven_delivery_is_no_suspect<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let lane = app.trigger(&TriggerSpec { retry: limits(5, 1), ..on_app("lane", "go") }).await.id;
    app.go(1).await;
    let (at, _) = app.next_expiring(lane).await;
    let row = app.next_suspect(lane).await;
    let fingerprint = "0123456789abcdef".to_owned();
    let reason = DeadReason::Lost;
    app.settle(&row, Verdict::Dead { reason, attempts: 1, failed: None, fingerprint, disable_trigger: false }).await;
    let [letter] = &app.letters().await[..] else { panic!("not exactly one letter") };
    assert_eq!((&letter.failed[..], letter.attempts, letter.reason), (&[lost(1, at)][..], 1, reason));

    let selection = LetterSelection { limit: 10, ..LetterSelection::default() };
    DeadLetterStore::redrive(&*store, &app.name, &selection).await.expect("the redrive is answered");

    let again = app.next(lane).await;
    assert_eq!((again.attempt, again.lost, again.policy.max_lost()), (1, 0, 1));
}
