//! Discovery of lanes, and the limit of leased rows per lane (`max_concurrency`).

use crate::Store;
use crate::support::*;
use std::sync::Arc;
use tidegate_core::{LaneState, Micros, SuspectLane, TriggerSpec, Verdict};

pub(crate) async fn an_empty_outbox_has_no_lanes<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    assert_eq!(app.discover().await.1, []);
    app.go(1).await;
    let row = app.next(lane.id).await;
    app.settle(&row, done()).await;
    assert_eq!(app.discover().await.1, [], "a lane without rows is not discovered");
}

pub(crate) async fn lanes_are_discovered_with_their_next_due_time_and_limit<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let limited = app.trigger(&TriggerSpec { max_concurrency: limit(3), ..on_app("z", "go") }).await.id;
    let unlimited = app.trigger(&on_app("a", "go")).await.id;
    app.trigger(&on_app("without-rows", "other")).await;
    app.go(1).await;
    app.go(1).await;
    let rows = app.deliveries().await;

    let (now, lanes) = app.discover().await;

    let first_due = rows.iter().map(|row| row.due_at).min().expect("the outbox has rows");
    let expected = [
        LaneState { trigger: limited, next_due: first_due, max_concurrency: Some(3) },
        LaneState { trigger: unlimited, next_due: first_due, max_concurrency: None },
    ];
    assert_eq!(lanes, expected);
    assert!(now >= first_due, "{now} is before {first_due}");
}

pub(crate) async fn a_lane_with_all_rows_leased_is_not_discovered<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(2).await;
    let rows = app.claim(lane.id, 1).await;
    let (_, lanes) = app.discover().await;
    let second =
        app.deliveries().await.into_iter().find(|row| row.id != rows[0].id).expect("the other row exists").due_at;
    assert_eq!(lanes.iter().map(|lane| lane.next_due).collect::<Vec<_>>(), [second]);

    app.claim(lane.id, 1).await;

    assert_eq!(app.discover().await.1, []);
}

pub(crate) async fn a_lane_with_an_expired_claim_is_discovered_apart<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(1).await;
    let (_, row) = app.next_expiring(lane.id).await;

    assert_eq!(app.lanes().await, []);
    assert_eq!(app.suspect_lanes().await, [SuspectLane { trigger: lane.id, next_due: row.due_at }]);
}

pub(crate) async fn a_lane_is_discovered_with_its_future_due_time<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(2).await;
    let rows = app.claim(lane.id, 2).await;
    let delays = [A_MINUTE.saturating_mul(2), A_MINUTE];
    let deferrals = rows.iter().zip(delays).map(|(row, delay)| settlement(row, Verdict::Deferred { delay }));
    let deferred_at = app.exchange(deferrals.collect(), Vec::new()).await.now;

    let (_, lanes) = app.discover().await;

    assert_eq!(lanes, [LaneState { trigger: lane.id, next_due: deferred_at.plus(A_MINUTE), max_concurrency: None }]);
}

/// The limit is the current limit of the trigger, not the limit at the emission.
pub(crate) async fn a_lane_has_the_current_limit_of_its_trigger<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(5).await;
    app.trigger(&TriggerSpec { max_concurrency: limit(2), ..lane.spec.clone() }).await;

    assert_eq!(app.discover().await.1.iter().map(|lane| lane.max_concurrency).collect::<Vec<_>>(), [Some(2)]);
    assert_eq!(app.claim(lane.id, 5).await.len(), 2);
}

pub(crate) async fn no_more_rows_than_the_limit_are_leased_at_once<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let limited = app.trigger(&TriggerSpec { max_concurrency: limit(2), ..on_app("limited", "go") }).await.id;
    let other = app.trigger(&on_app("other", "go")).await.id;
    app.go(5).await;

    let both = app.exchange(Vec::new(), vec![quota(limited, 5), quota(other, 5)]).await.claimed;
    let of = |lane| both.iter().filter(|row| row.trigger_id == lane).cloned().collect::<Vec<_>>();
    assert_eq!((of(limited).len(), of(other).len()), (2, 5));
    assert_eq!(app.claim(limited, 5).await, []);

    // An exchange settles before it claims, so that a settled row frees its slot for the same
    // exchange.
    let rows = of(limited);
    let one = app.exchange(vec![settlement(&rows[0], done())], vec![quota(limited, 5)]).await.claimed;
    assert_eq!(one.len(), 1);
    let deferred = Verdict::Deferred { delay: A_MINUTE };
    let two = app.exchange(vec![settlement(&rows[1], deferred)], vec![quota(limited, 5)]).await.claimed;
    assert_eq!(two.len(), 1);
    assert_eq!(app.claim(limited, 5).await, []);
}

/// Leased rows count against the current limit, even if the limit was different when they were
/// claimed.
pub(crate) async fn a_changed_limit_counts_the_leased_rows<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let limited = |max| TriggerSpec { max_concurrency: limit(max), ..on_app("limited", "go") };
    let lane = app.trigger(&limited(3)).await.id;
    app.go(9).await;
    assert_eq!(app.claim(lane, 9).await.len(), 3);

    app.trigger(&limited(2)).await;
    assert_eq!(app.claim(lane, 9).await.len(), 0, "more rows are leased than the new limit");
    app.trigger(&limited(5)).await;
    assert_eq!(app.claim(lane, 9).await.len(), 2);
    app.trigger(&TriggerSpec { max_concurrency: None, ..limited(1) }).await;
    assert_eq!(app.claim(lane, 9).await.len(), 4);
}

pub(crate) async fn a_new_limit_counts_rows_that_were_claimed_without_it<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let spec = on_app("limited", "go");
    let lane = app.trigger(&spec).await.id;
    app.go(9).await;
    let rows = app.claim(lane, 3).await;
    assert_eq!(rows.len(), 3);

    app.trigger(&TriggerSpec { max_concurrency: limit(2), ..spec }).await;
    assert_eq!(app.claim(lane, 9).await, []);
    app.settle(&rows[0], done()).await;
    assert_eq!(app.claim(lane, 9).await, [], "two rows run, as many as the limit allows");
    app.settle(&rows[1], done()).await;
    assert_eq!(app.claim(lane, 9).await.len(), 1);
}

pub(crate) async fn an_expired_lease_frees_its_slot<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let limited = app.trigger(&TriggerSpec { max_concurrency: limit(2), ..on_app("limited", "go") }).await.id;
    app.go(3).await;
    let expired = app.exchange_for(Vec::new(), vec![quota(limited, 5)], Micros(1)).await.claimed;
    assert_eq!(expired.len(), 2);
    app.lanes().await;

    let again = app.claim(limited, 5).await;
    assert_eq!(again.len(), 1, "the third row");
    let suspects = app.claim_suspects(limited).await;

    assert_eq!(ids(&suspects), ids(&expired[..1]), "the lane is full");
    assert_eq!(app.claim(limited, 5).await, []);
}

pub(crate) async fn a_renewed_lease_keeps_its_slot<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let limited = app.trigger(&TriggerSpec { max_concurrency: limit(1), ..on_app("limited", "go") }).await.id;
    app.go(2).await;
    let row = app.next(limited).await;
    assert_eq!(app.renew(&[&row], LEASE).await, []);

    assert_eq!(app.claim(limited, 5).await, []);
}

/// Another row may have taken the slot of the expired lease, so the renewal is fenced.
pub(crate) async fn an_expired_lease_of_a_limited_lane_is_not_renewed<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let limited = app.trigger(&TriggerSpec { max_concurrency: limit(2), ..on_app("limited", "go") }).await.id;
    app.go(3).await;
    let expired = app.exchange_for(Vec::new(), vec![quota(limited, 2)], Micros(1)).await.claimed;
    app.lanes().await;
    let again = app.claim(limited, 1).await;
    assert_eq!(again.len(), 1);

    assert_eq!(app.renew(&[&expired[1], &again[0]], LEASE).await, [claim_of(&expired[1])]);

    let suspects = app.claim_suspects(limited).await;
    assert_eq!(ids(&suspects), ids(&expired[..1]), "one slot is free");
    assert_eq!(app.claim(limited, 5).await, []);
}

/// The fence of a renewal depends on the current limit of the trigger.
pub(crate) async fn an_expired_lease_is_renewed_while_the_lane_has_no_limit<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let spec = |max| TriggerSpec { max_concurrency: max, ..on_app("limited", "go") };
    let lane = app.trigger(&spec(limit(1))).await.id;
    app.go(2).await;
    let (_, row) = app.next_expiring(lane).await;
    assert_eq!(app.lost_lanes().await, [lane], "the lease has expired");
    assert_eq!(app.renew(&[&row], LEASE).await, [claim_of(&row)]);
    app.trigger(&spec(None)).await;

    assert_eq!(app.renew(&[&row], LEASE).await, []);

    app.trigger(&spec(limit(1))).await;
    assert_eq!(app.claim(lane, 5).await, [], "the renewed row fills the lane");
}

pub(crate) async fn a_pause_does_not_affect_leased_rows<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(2).await;
    let rows = app.claim(lane.id, 2).await;
    app.set_paused("lane", true).await;

    assert_eq!(app.renew(&[&rows[0], &rows[1]], LEASE).await, []);
    app.settle(&rows[0], done()).await;
    app.settle(&rows[1], Verdict::Deferred { delay: Micros::ZERO }).await;

    assert_eq!(app.deliveries().await.iter().map(|row| row.id).collect::<Vec<_>>(), [rows[1].id]);
    assert_eq!(
        (app.lanes().await, app.claim(lane.id, 5).await),
        (vec![], vec![]),
        "a released row waits until the trigger resumes"
    );
}

/// The slots of a claim are exact, whatever becomes of its rows.
pub(crate) async fn each_row_that_leaves_a_claim_frees_one_slot<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let limited = app.trigger(&TriggerSpec { max_concurrency: limit(4), ..on_app("limited", "go") }).await.id;
    app.go(12).await;
    let rows = app.claim(limited, 9).await;
    assert_eq!(rows.len(), 4);
    let failed = threw(1, rows[0].due_at, "it broke");
    let verdicts = [
        done(),
        Verdict::Deferred { delay: A_MINUTE },
        Verdict::Retry { delay: A_MINUTE, failed: failed.clone() },
        dead(failed),
    ];
    for (row, verdict) in rows.iter().zip(verdicts) {
        app.settle(row, verdict.clone()).await;
        assert_eq!(
            app.try_settle(row, verdict.clone()).await.fenced,
            [claim_of(row)],
            "the second settlement is fenced"
        );
        assert_eq!(app.claim(limited, 9).await.len(), 1, "one slot is free after {}", verdict.name());
    }
    assert_eq!(app.claim(limited, 9).await, []);
}

pub(crate) async fn an_expired_claim_has_no_slots<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let limited = app.trigger(&TriggerSpec { max_concurrency: limit(3), ..on_app("limited", "go") }).await.id;
    app.go(6).await;
    let lost = app.claim_expiring(limited, 9).await;
    app.settle(&lost[0], done()).await;

    let first = app.claim(limited, 1).await;
    assert_eq!(first.len(), 1);
    let suspects = app.claim_suspects(limited).await;
    assert_eq!(ids(&suspects), ids(&lost[1..]), "the expired claim has no slots");
    assert_eq!(app.claim(limited, 9).await, []);

    app.settle(&suspects[0], done()).await;
    assert_eq!(app.claim(limited, 9).await.len(), 1);
}
