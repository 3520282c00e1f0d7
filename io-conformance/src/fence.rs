//! The fence: a settlement or renewal is applied only if its claim holds the row.

use crate::Store;
use crate::support::*;
use std::sync::Arc;
use tidegate_core::{Claim, Delivery, Lease, Micros, Verdict};
use tidegate_ports::DeliveryState;

/// Settles `stale` with each verdict. Checks that each settlement is fenced and that nothing
/// changes in any port.
async fn assert_fenced<S: Store>(app: &App<S>, stale: Claim, verdicts: Vec<Verdict>) {
    let before = app.snapshot().await;
    for verdict in verdicts {
        let name = verdict.name();
        let settle = vec![tidegate_core::Settlement { claim: stale, verdict }];
        let reply = app.exchange(settle, Vec::new()).await;
        assert_eq!((&reply.fenced, &reply.conflicted), (&vec![stale], &vec![]), "{name}");
        assert_eq!(reply.woken, [], "{name} of a stale claim wakes no lane");
        assert_eq!(app.snapshot().await, before, "{name} of a stale claim changes nothing");
    }
}

pub(crate) async fn a_claim_is_fenced_after_another_claim_of_the_row<S: Store>(store: Arc<S>) {
    let (app, lane) = with_listeners(&store).await;
    app.go(1).await;
    let (_, stale) = app.next_expiring(lane.id).await;
    let valid = app.next_suspect(lane.id).await;
    assert_eq!(valid.id, stale.id);

    assert_fenced(&app, claim_of(&stale), async_verdicts()).await;

    app.settle(&valid, done()).await;
}

pub(crate) async fn a_claim_of_a_deleted_row_is_fenced<S: Store>(store: Arc<S>) {
    let (app, lane) = with_listeners(&store).await;
    app.go(1).await;
    let row = app.next(lane.id).await;
    app.settle(&row, done()).await;

    assert_fenced(&app, claim_of(&row), async_verdicts()).await;
}

pub(crate) async fn a_released_claim_is_fenced<S: Store>(store: Arc<S>) {
    let (app, lane) = with_listeners(&store).await;
    let failed = threw(1, store_time(&app).await, "it broke");
    for release in [Verdict::Deferred { delay: A_MINUTE }, Verdict::Retry { delay: A_MINUTE, failed }] {
        app.go(1).await;
        let row = app.next(lane.id).await;
        app.settle(&row, release).await;

        assert_fenced(&app, claim_of(&row), async_verdicts()).await;
    }
}

async fn store_time<S: Store>(app: &App<S>) -> tidegate_core::Timestamp {
    app.discover().await.0
}

pub(crate) async fn a_claim_that_was_never_made_is_fenced<S: Store>(store: Arc<S>) {
    let (app, lane) = with_listeners(&store).await;
    app.go(2).await;
    let row = app.next(lane.id).await;
    let waiting = app.deliveries().await.into_iter().find(|other| other.state == DeliveryState::Ready);
    let waiting = waiting.expect("one of the two rows is not claimed").id;

    let lease = row.lease.0;
    for (delivery, lease) in [(row.id, lease + 1), (row.id, 0), (waiting, 0), (waiting, 1), (waiting, lease)] {
        assert_fenced(&app, Claim { delivery, lease: Lease(lease) }, async_verdicts()).await;
    }
    app.settle(&row, done()).await;
}

pub(crate) async fn a_stale_claim_of_a_dead_letter_handler_is_fenced<S: Store>(store: Arc<S>) {
    let (app, lane) = with_listeners(&store).await;
    let row = app.handling(&lane).await;
    let never = Claim { lease: Lease(row.lease.0 + 1), ..claim_of(&row) };
    assert_fenced(&app, never, handler_verdicts()).await;
    app.settle(&row, Verdict::Handled { effects: some_effects() }).await;

    assert_fenced(&app, claim_of(&row), handler_verdicts()).await;
}

/// A dispatcher that lost the answer sends its settlement again. Every verdict is applied once.
pub(crate) async fn a_settlement_sent_twice_is_applied_once<S: Store>(store: Arc<S>) {
    let (app, lane) = with_listeners(&store).await;
    app.delete_trigger("lane").await;
    for verdict in async_verdicts() {
        // A new trigger per verdict: rows that an earlier verdict released would be claimed first.
        let lane = app.trigger(&lane.spec).await;
        app.go(1).await;
        let row = app.next(lane.id).await;
        settle_twice(&app, &row, &verdict).await;
        app.delete_trigger("lane").await;
    }
}

pub(crate) async fn a_handler_settlement_sent_twice_is_applied_once<S: Store>(store: Arc<S>) {
    let (app, lane) = with_listeners(&store).await;
    for verdict in handler_verdicts() {
        let row = app.handling(&lane).await;
        settle_twice(&app, &row, &verdict).await;
    }
}

async fn settle_twice<S: Store>(app: &App<S>, row: &Delivery, verdict: &Verdict) {
    app.settle(row, verdict.clone()).await;
    assert_fenced(app, claim_of(row), vec![verdict.clone()]).await;
}

pub(crate) async fn a_fenced_settlement_does_not_affect_the_others<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(3).await;
    let rows = app.claim(lane.id, 3).await;
    app.settle(&rows[1], done()).await;

    let all = rows.iter().map(|row| settlement(row, done())).collect();
    let reply = app.exchange(all, Vec::new()).await;

    assert_eq!((reply.fenced, reply.conflicted), (vec![claim_of(&rows[1])], vec![]));
    assert_eq!(app.deliveries().await, []);
}

/// An expired claim stays valid until it is ended, so that the outcome of a slow execution is not
/// discarded.
pub(crate) async fn an_expired_claim_is_valid_until_it_is_ended<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(1).await;
    let (_, row) = app.next_expiring(lane.id).await;
    assert_eq!(app.lost_lanes().await, [lane.id], "the lease has expired");

    app.settle(&row, done()).await;

    assert_eq!(app.deliveries().await, []);
}

pub(crate) async fn a_renewal_extends_the_lease<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(2).await;
    let (_, first) = app.next_expiring(lane.id).await;
    assert_eq!(app.lost_lanes().await, [lane.id]);
    assert_eq!(app.renew(&[&first], LEASE).await, []);

    assert_eq!((app.lost_lanes().await, app.claim_suspects(lane.id).await), (vec![], vec![]));
    app.settle(&first, done()).await;
}

/// A renewal is no claim: the attempt, the number of the claim and the start time of the attempt
/// stay the same.
pub(crate) async fn a_renewal_changes_only_the_end_of_the_lease<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(1).await;
    let (claimed_at, row) = app.next_expiring(lane.id).await;
    let before = app.delivery(row.id).await;
    assert_eq!(app.renew(&[&row], Micros(1)).await, []);
    assert_eq!(app.delivery(row.id).await, before);

    let again = app.next_suspect(lane.id).await;

    assert_eq!((again.attempt, again.lost), (row.attempt, 1));
    assert_ne!(again.lease, row.lease);
    let row = app.delivery(row.id).await.expect("the row exists");
    assert_eq!(row.failed, [lost(1, claimed_at)]);
}

pub(crate) async fn a_renewal_of_a_stale_claim_is_fenced<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(3).await;
    let gone = app.next(lane.id).await;
    app.settle(&gone, done()).await;
    let released = app.next(lane.id).await;
    app.settle(&released, Verdict::Deferred { delay: A_MINUTE }).await;
    let (_, stale) = app.next_expiring(lane.id).await;
    let (_, valid) = app.next_suspect_expiring(lane.id).await;
    assert_eq!(stale.id, valid.id);

    let mut fenced = app.renew(&[&gone, &released, &stale], LEASE).await;

    fenced.sort();
    let mut expected = [&gone, &released, &stale].map(claim_of);
    expected.sort();
    assert_eq!(fenced, expected);
    assert_eq!(app.lost_lanes().await, [lane.id], "the lease of the valid claim has expired");
    assert_eq!(app.delivery(released.id).await.expect("the row exists").state, DeliveryState::Scheduled);
    assert_eq!(app.renew(&[&stale, &valid], LEASE).await, [claim_of(&stale)], "the valid claim is renewed");
    assert_eq!((app.claim(lane.id, 10).await, app.claim_suspects(lane.id).await), (vec![], vec![]));
}
