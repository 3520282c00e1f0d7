//! The rows that a request takes from one lane are one claim. Rows leave it one by one; a renewal
//! extends the lease of all others.

use crate::Store;
use crate::support::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use tidegate_core::{Delivery, Lease, Micros, Verdict};

fn leases(rows: &[Delivery]) -> BTreeSet<Lease> {
    rows.iter().map(|row| row.lease).collect()
}

/// The verdicts that put a row back into its lane, due at once.
fn releases(row: &Delivery) -> [Verdict; 2] {
    let failed = threw(row.attempt, row.due_at, "it broke");
    [Verdict::Deferred { delay: Micros::ZERO }, Verdict::Retry { delay: Micros::ZERO, failed }]
}

pub(crate) async fn rows_of_one_lane_claimed_together_have_one_number<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let a = app.trigger(&on_app("a", "go")).await.id;
    let b = app.trigger(&on_app("b", "go")).await.id;
    app.go(3).await;

    let both = app.exchange(Vec::new(), vec![quota(a, 2), quota(b, 3)]).await.claimed;

    let of = |lane| both.iter().filter(|row| row.trigger_id == lane).cloned().collect::<Vec<_>>();
    assert_eq!((of(a).len(), of(b).len()), (2, 3));
    assert_eq!((leases(&of(a)).len(), leases(&of(b)).len()), (1, 1), "{both:#?}");
    let mut used = leases(&both);
    assert_eq!(used.len(), 2, "two lanes have different numbers");
    let mut rows = app.claim(a, 1).await;
    for _ in 0..10 {
        assert!(used.insert(rows[0].lease), "the number {} is used twice", rows[0].lease);
        let release = settlement(&rows[0], Verdict::Deferred { delay: Micros::ZERO });
        rows = app.exchange(vec![release], vec![quota(a, 1)]).await.claimed;
    }
}

pub(crate) async fn a_renewal_of_one_row_extends_the_whole_claim<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(3).await;
    let rows = app.claim_expiring(lane.id, 3).await;
    assert_eq!(app.lost_lanes().await, [lane.id], "the lease has expired");

    assert_eq!(app.renew(&[&rows[1]], LEASE).await, []);

    assert_eq!((app.lost_lanes().await, app.claim_suspects(lane.id).await), (vec![], vec![]));
    for row in &rows {
        app.settle(row, done()).await;
    }
    assert_eq!(app.deliveries().await, []);
}

pub(crate) async fn a_renewal_extends_the_rest_of_a_claim<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(6).await;
    let rows = app.claim_expiring(lane.id, 6).await;
    let failed = threw(1, rows[1].due_at, "it broke");
    app.settle(&rows[0], done()).await;
    app.settle(&rows[1], Verdict::Retry { delay: A_MINUTE, failed: failed.clone() }).await;
    app.settle(&rows[2], dead(failed)).await;
    app.settle(&rows[3], Verdict::Deferred { delay: A_MINUTE }).await;

    let mut fenced = app.renew(&[&rows[5], &rows[0], &rows[1], &rows[2], &rows[3]], LEASE).await;

    fenced.sort();
    assert_eq!(fenced, rows[..4].iter().map(claim_of).collect::<Vec<_>>());
    assert_eq!(app.claim_suspects(lane.id).await, [], "the claim still holds two rows");
    app.settle(&rows[4], done()).await;
    assert_eq!(app.renew(&[&rows[5]], Micros(1)).await, [], "the claim still holds one row");
    let again = app.claim_suspects(lane.id).await;
    assert_eq!(ids(&again), ids(&rows[5..]));
}

/// An exchange settles one row of a claim, and claims a row for another claim.
pub(crate) async fn a_settled_row_leaves_the_others_in_the_claim<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(4).await;
    let rows = app.claim(lane.id, 3).await;

    let reply = app.exchange(vec![settlement(&rows[1], done())], vec![quota(lane.id, 9)]).await;
    assert_eq!((reply.fenced, reply.claimed.len()), (vec![], 1));
    assert_eq!(app.try_settle(&rows[1], done()).await.fenced, [claim_of(&rows[1])]);

    assert_eq!(app.claim(lane.id, 9).await, []);
    let rest = vec![settlement(&rows[0], done()), settlement(&rows[2], done())];
    assert_eq!(app.exchange(rest, Vec::new()).await.fenced, []);
    app.settle(&reply.claimed[0], done()).await;
    assert_eq!(app.deliveries().await, []);
}

/// The old claim still holds other rows, and no longer the row that went back.
pub(crate) async fn a_released_row_can_be_claimed_while_its_old_claim_holds_others<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(1).await;
    let row = app.claim(lane.id, 1).await;
    for verdict in releases(&row[0]) {
        app.go(3).await;
        let old = app.claim(lane.id, 3).await;
        app.settle(&old[1], verdict).await;

        let new = app.claim(lane.id, 9).await;

        assert_eq!(ids(&new), ids(&old[1..2]));
        assert_ne!(new[0].lease, old[1].lease);
        assert_eq!(app.try_settle(&old[1], done()).await.fenced, [claim_of(&old[1])]);
        assert_eq!(app.renew(&[&old[0], &old[1], &new[0]], LEASE).await, [claim_of(&old[1])]);
        for row in [&old[0], &new[0], &old[2]] {
            app.settle(row, done()).await;
        }
    }
}

/// A row can be released by one claim after the other, and by the same request that claims it.
pub(crate) async fn a_row_released_many_times_has_one_valid_claim<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(2).await;
    let rows = app.claim(lane.id, 2).await;
    let mut old = vec![rows[0].clone()];
    for nth in 0..6 {
        let last = &old[old.len() - 1];
        let release = settlement(last, releases(last)[nth % 2].clone());
        let claimed = app.exchange(vec![release], vec![quota(lane.id, 9)]).await.claimed;
        assert_eq!(ids(&claimed), ids(&rows[..1]));
        old.push(claimed[0].clone());
    }
    assert_eq!(old[6].attempt, 4, "three of the six verdicts were retries");
    let stale: Vec<_> = old[..6].iter().map(|row| settlement(row, done())).collect();
    for one in stale {
        let claim = one.claim;
        assert_eq!(app.exchange(vec![one], Vec::new()).await.fenced, [claim]);
    }
    app.settle(&old[6], done()).await;
    app.settle(&rows[1], done()).await;
}

/// A list of deliveries shows the number of the attempt of a claimed row, and the failed attempts
/// of a row that went back.
pub(crate) async fn lists_show_the_attempts_that_claims_counted<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(4).await;
    let shown = async || app.deliveries().await.iter().map(|row| row.attempt).collect::<Vec<_>>();
    assert_eq!(shown().await, [0, 0, 0, 0]);
    let rows = app.claim_expiring(lane.id, 3).await;
    assert_eq!(shown().await, [1, 1, 1, 0], "the lease has expired, and the claim still holds its rows");
    let failed = threw(1, rows[1].due_at, "it broke");
    app.settle(&rows[0], Verdict::Deferred { delay: A_MINUTE }).await;
    app.settle(&rows[1], Verdict::Retry { delay: A_MINUTE, failed }).await;
    assert_eq!(shown().await, [0, 1, 1, 0]);
    let again = app.next_suspect(lane.id).await;
    assert_eq!((again.id, shown().await), (rows[2].id, vec![0, 1, 1, 0]));
    assert_eq!(app.deliveries().await.iter().map(|row| row.lost).collect::<Vec<_>>(), [0, 0, 1, 0]);
}
