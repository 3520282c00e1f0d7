//! Conflicts: effects are not applied if a key that the handler has read has another version now.

use crate::Store;
use crate::effects::with_claimed_row;
use crate::support::*;
use std::sync::Arc;
use tidegate_core::{Delivery, Effects, Verdict};

/// Settles `row` with effects that read `version` of the key `read`. Checks that they conflict and
/// that nothing changes.
async fn assert_conflict<S: Store>(app: &App<S>, row: &Delivery, version: Option<tidegate_core::Version>) {
    let effects = Effects {
        reads: vec![read("c", "unread", None), read("c", "read", version)],
        writes: vec![write("c", "written", Some("1"))],
        events: vec![new_event("matched", "", "null")],
    };
    let before = app.snapshot().await;
    let reply = app.try_settle(row, done_with(effects)).await;
    assert_eq!((reply.fenced, reply.conflicted), (vec![], vec![claim_of(row)]));
    assert_eq!(reply.woken, []);
    assert_eq!(app.snapshot().await, before, "a conflict changes nothing");
}

pub(crate) async fn effects_with_current_reads_are_applied<S: Store>(store: Arc<S>) {
    let (app, row) = with_claimed_row(&store).await;
    let version = app.put("c", "there", "1").await.version;
    let effects = Effects {
        reads: vec![read("c", "there", Some(version)), read("c", "absent", None)],
        writes: vec![write("c", "there", Some("2")), write("c", "absent", Some("3"))],
        events: Vec::new(),
    };

    app.settle(&row, done_with(effects)).await;

    assert_eq!(app.value("c", "there").await.as_deref(), Some("2"));
    assert_eq!(app.value("c", "absent").await.as_deref(), Some("3"));
}

pub(crate) async fn a_read_of_an_absent_key_conflicts_after_a_put<S: Store>(store: Arc<S>) {
    let (app, row) = with_claimed_row(&store).await;
    app.put("c", "read", "1").await;
    assert_conflict(&app, &row, None).await;
}

pub(crate) async fn a_read_value_conflicts_after_a_change<S: Store>(store: Arc<S>) {
    let (app, row) = with_claimed_row(&store).await;
    let old = app.put("c", "read", "1").await.version;
    app.put("c", "read", "2").await;
    assert_conflict(&app, &row, Some(old)).await;
}

pub(crate) async fn a_read_value_conflicts_after_a_delete<S: Store>(store: Arc<S>) {
    let (app, row) = with_claimed_row(&store).await;
    let old = app.put("c", "read", "1").await.version;
    app.delete("c", "read").await;
    assert_conflict(&app, &row, Some(old)).await;
}

/// The value is equal to the value that was read, but its version is not.
pub(crate) async fn a_read_value_conflicts_after_a_delete_and_a_put<S: Store>(store: Arc<S>) {
    let (app, row) = with_claimed_row(&store).await;
    let old = app.put("c", "read", "1").await.version;
    app.delete("c", "read").await;
    app.put("c", "read", "1").await;
    assert_conflict(&app, &row, Some(old)).await;
}

pub(crate) async fn after_a_conflict_the_same_claim_settles_with_fresh_reads<S: Store>(store: Arc<S>) {
    let (app, row) = with_claimed_row(&store).await;
    let old = app.put("c", "read", "1").await.version;
    let fresh = app.put("c", "read", "2").await.version;
    assert_conflict(&app, &row, Some(old)).await;
    assert_eq!(app.claim(row.trigger_id, 10).await, [], "the claim still holds the row");
    assert_eq!(app.renew(&[&row], LEASE).await, [], "the claim is still valid");

    let effects = Effects {
        reads: vec![read("c", "read", Some(fresh))],
        writes: vec![write("c", "read", Some("3"))],
        events: Vec::new(),
    };
    app.settle(&row, done_with(effects)).await;

    assert_eq!(app.value("c", "read").await.as_deref(), Some("3"));
    assert_eq!(app.delivery(row.id).await, None);
}

pub(crate) async fn a_conflict_does_not_affect_the_other_settlements<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(4).await;
    let rows = app.claim(lane.id, 4).await;
    let old = app.put("c", "k", "1").await.version;
    let now = app.put("c", "k", "2").await.version;
    let reading = |version, at: &str| {
        done_with(Effects {
            reads: vec![read("c", "k", Some(version))],
            writes: vec![write("c", at, Some("1"))],
            events: Vec::new(),
        })
    };
    let settle = vec![
        settlement(&rows[0], reading(now, "before")),
        settlement(&rows[1], reading(old, "conflict")),
        settlement(&rows[2], reading(now, "after")),
        settlement(&rows[3], Verdict::Deferred { delay: A_MINUTE }),
    ];

    let reply = app.exchange(settle, vec![quota(lane.id, 10)]).await;

    assert_eq!((reply.fenced, reply.conflicted), (vec![], vec![claim_of(&rows[1])]));
    assert_eq!(reply.claimed, []);
    let keys: Vec<_> = app.entries("c").await.iter().map(|entry| entry.key.to_string()).collect();
    assert_eq!(keys, ["after", "before", "k"]);
    let left: Vec<_> = app.deliveries().await.iter().map(|row| row.id).collect();
    assert_eq!(left, [rows[1].id, rows[3].id]);
}

/// Settlements are applied in order. The first one changes the version that the second one has
/// read.
pub(crate) async fn the_second_of_two_increments_in_an_exchange_conflicts<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(4).await;
    let rows = app.claim(lane.id, 4).await;
    let old = app.put("c", "n", "1").await.version;
    let reading = |at: &str, version, value| {
        done_with(Effects {
            reads: vec![read("c", at, version)],
            writes: vec![write("c", at, Some(value))],
            events: Vec::new(),
        })
    };
    let settle = vec![
        settlement(&rows[0], reading("n", Some(old), "2")),
        settlement(&rows[1], reading("n", Some(old), "22")),
        settlement(&rows[2], reading("new", None, "1")),
        settlement(&rows[3], reading("new", None, "11")),
    ];

    let reply = app.exchange(settle, Vec::new()).await;

    assert_eq!((reply.fenced, reply.conflicted), (vec![], vec![claim_of(&rows[1]), claim_of(&rows[3])]));
    assert_eq!(app.value("c", "n").await.as_deref(), Some("2"));
    assert_eq!(app.value("c", "new").await.as_deref(), Some("1"));
}

/// An earlier settlement deletes an absent key. A later settlement that has read this key as absent
/// does not conflict.
pub(crate) async fn a_delete_of_an_absent_key_changes_no_version<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(2).await;
    let rows = app.claim(lane.id, 2).await;
    let delete = Effects { writes: vec![write("c", "absent", None)], ..Effects::default() };
    let put = Effects {
        reads: vec![read("c", "absent", None)],
        writes: vec![write("c", "absent", Some("1"))],
        events: Vec::new(),
    };
    let settle = vec![settlement(&rows[0], done_with(delete)), settlement(&rows[1], done_with(put))];

    let reply = app.exchange(settle, Vec::new()).await;

    assert_eq!((reply.fenced, reply.conflicted), (vec![], vec![]));
    assert_eq!(app.value("c", "absent").await.as_deref(), Some("1"));
}

/// Effects that change nothing cannot conflict.
pub(crate) async fn effects_with_only_reads_never_conflict<S: Store>(store: Arc<S>) {
    let (app, row) = with_claimed_row(&store).await;
    let old = app.put("c", "k", "1").await.version;
    app.put("c", "k", "2").await;
    let effects = Effects { reads: vec![read("c", "k", Some(old))], ..Effects::default() };

    app.settle(&row, done_with(effects)).await;

    assert_eq!(app.delivery(row.id).await, None);
}
