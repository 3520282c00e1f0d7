//! Several tasks work on the rows of one claim: each row leaves the claim once, and the claim
//! counts its rows and slots exactly.

use crate::Store;
use crate::support::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use tidegate_core::{DeliveryId, Micros, TriggerSpec, Verdict};

/// Each task settles one row of the claim, renews the rows of the others, and settles its row
/// again.
pub(crate) async fn rows_of_one_claim_are_settled_by_many_tasks<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let lane = app.trigger(&TriggerSpec { max_concurrency: limit(9), ..on_app("lane", "go") }).await.id;
    for _ in 0..10 {
        app.go(20).await;
        let rows = Arc::new(app.claim(lane, 20).await);
        assert_eq!(rows.len(), 9);

        let settled = at_once(8, |n| {
            let (app, rows) = (app.clone(), Arc::clone(&rows));
            async move {
                let verdict = if n % 2 == 0 { done() } else { Verdict::Deferred { delay: A_MINUTE } };
                app.settle(&rows[n], verdict.clone()).await;
                let fenced = app.renew(&rows.iter().collect::<Vec<_>>(), LEASE).await;
                assert!(fenced.contains(&claim_of(&rows[n])) && !fenced.contains(&claim_of(&rows[8])), "{fenced:?}");
                app.try_settle(&rows[n], verdict).await.fenced
            }
        });

        assert_eq!(settled.await.concat().len(), 8, "each row was settled once");
        let next = app.claim(lane, 20).await;
        assert_eq!(next.len(), 8, "one row of the first claim has a slot");
        let rest = next.iter().chain(&rows[8..]).map(|row| settlement(row, done())).collect();
        assert_eq!(app.exchange(rest, Vec::new()).await.fenced, []);
        let mut waiting = app.claim(lane, 20).await;
        while !waiting.is_empty() {
            let settle = waiting.iter().map(|row| settlement(row, done())).collect();
            waiting = app.exchange(settle, vec![quota(lane, 20)]).await.claimed;
        }
    }
}

/// Some tasks settle rows under an expired claim while others end the claim. Each row is done once.
pub(crate) async fn an_expired_claim_is_ended_while_it_settles<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    for _ in 0..20 {
        app.go(16).await;
        let old = Arc::new(app.claim_expiring(lane.id, 16).await);
        assert_eq!(old.len(), 16);

        let applied = at_once(8, |n| {
            let (app, old) = (app.clone(), Arc::clone(&old));
            async move {
                let rows = if n < 4 { old[4 * n..4 * n + 4].to_vec() } else { app.claim_suspects(lane.id).await };
                let mut applied: Vec<DeliveryId> = Vec::new();
                for row in &rows {
                    let fenced = app.try_settle(row, done()).await.fenced;
                    applied.extend(fenced.is_empty().then_some(row.id));
                }
                applied
            }
        });

        let mut applied = applied.await.concat();
        let rest = app.claim_suspects(lane.id).await;
        for row in &rest {
            app.settle(row, done()).await;
        }
        applied.extend(ids(&rest));
        assert_eq!(applied.len(), 16);
        assert_eq!(applied.into_iter().collect::<BTreeSet<_>>(), ids(&old).into_iter().collect());
        assert_eq!(app.deliveries().await, []);
    }
}

/// Many tasks end one expired claim, and claim its rows. Each row gets one new claim and one loss.
pub(crate) async fn an_expired_claim_is_ended_once_by_many_tasks<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    for _ in 0..10 {
        app.go(16).await;
        let old = app.claim_expiring(lane.id, 16).await;

        let new = at_once(8, |_| {
            let app = app.clone();
            async move { [app.next_suspect(lane.id).await, app.next_suspect(lane.id).await] }
        });

        let new = new.await.concat();
        assert!(new.iter().all(|row| row.lost == 1), "{new:#?}");
        let taken: BTreeSet<_> = ids(&new).into_iter().collect();
        assert_eq!(taken, ids(&old).into_iter().collect());
        assert_eq!(app.renew(&old.iter().collect::<Vec<_>>(), Micros(1)).await.len(), 16);
        assert!(app.deliveries().await.iter().all(|row| row.failed.len() == 1));
        for row in &new {
            app.settle(row, done()).await;
        }
    }
}
