//! The bytes of claims: a claim ends before the row that does not fit, and the next one goes on.

use crate::Store;
use crate::pages::texts;
use crate::support::*;
use std::sync::Arc;
use tidegate_core::{Delivery, LaneQuota, Micros, Verdict};

/// The most bytes of a claim in these cases. One text is larger.
const BYTES_MAX: u64 = 30_000;

fn bytes(rows: &[Delivery]) -> u64 {
    rows.iter().map(|row| row.event.bytes()).sum()
}

fn ahead(lane: &LaneQuota) -> LaneQuota {
    LaneQuota { starts: 0, ..*lane }
}

pub(crate) async fn a_claim_ends_before_the_row_that_does_not_fit<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    let texts = texts();
    app.emit(texts.iter().map(|text| new_event("go", "", text.as_str())).collect()).await;
    let mut found = Vec::new();
    loop {
        let reply = app.claim_within(vec![quota(lane.id, 100)], None, BYTES_MAX).await;
        assert!(bytes(&reply.claimed) <= BYTES_MAX || reply.claimed.len() == 1, "{} bytes", bytes(&reply.claimed));
        assert!(!reply.claimed.is_empty());
        found.extend(reply.claimed.into_iter().map(|row| row.event.data));
        assert_eq!(reply.is_cut, found.len() < texts.len(), "{} rows", found.len());
        if !reply.is_cut {
            break;
        }
    }
    assert_eq!(found, texts);
    let exact = app.claim_within(vec![quota(lane.id, 100)], None, BYTES_MAX).await;
    assert!(exact.claimed.is_empty() && !exact.is_cut);
}

pub(crate) async fn a_cut_claim_leaves_the_later_lanes_and_the_rows_that_went_back<S: Store>(store: Arc<S>) {
    let (app, one) = App::with_lane(&store).await;
    let two = app.trigger(&on_app("two", "go")).await;
    let text = format!("\"{}\"", "x".repeat(9_998));
    app.emit((0..5).map(|_| new_event("go", "", &text)).collect()).await;
    let both = || vec![quota(one.id, 4), quota(two.id, 4)];

    let first = app.claim_within(both(), None, BYTES_MAX).await;
    assert_eq!((first.claimed.len(), first.is_cut), (3, true), "just as many bytes as allowed");
    assert!(first.claimed.iter().all(|row| row.trigger_id == one.id));
    // Two rows go back, below the floor of their lane, so that the next claim takes them first.
    let back =
        first.claimed[..2].iter().map(|row| settlement(row, Verdict::Deferred { delay: Micros::ZERO })).collect();
    app.exchange(back, Vec::new()).await;
    let mut ids = vec![first.claimed[2].id];
    let mut lanes = Vec::new();
    loop {
        let reply = app.claim_within(both(), None, BYTES_MAX).await;
        lanes.push(reply.claimed.iter().filter(|row| row.trigger_id == two.id).count());
        ids.extend(reply.claimed.iter().map(|row| row.id));
        if !reply.is_cut {
            break;
        }
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 10, "each row is claimed once: {lanes:?}");
}

pub(crate) async fn suspects_have_bytes_of_their_own<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    let text = format!("\"{}\"", "x".repeat(9_998));
    app.emit((0..5).map(|_| new_event("go", "", &text)).collect()).await;
    let held = app.exchange_for(Vec::new(), vec![ahead(&quota(lane.id, 5))], Micros::ZERO).await;
    assert_eq!(held.claimed.len(), 5);
    app.emit((0..5).map(|_| new_event("go", "", &text)).collect()).await;

    let reply = app.claim_within(vec![quota(lane.id, 100)], Some(lane.id), BYTES_MAX).await;

    assert_eq!((reply.claimed.len(), reply.suspects, reply.is_cut), (6, 3, true));
    let rest = app.claim_within(vec![quota(lane.id, 100)], Some(lane.id), 1).await;
    assert_eq!((rest.claimed.len(), rest.suspects, rest.is_cut), (2, 1, true), "the first row fits in any case");
}
