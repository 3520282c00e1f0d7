//! Deliveries that ended without a dead letter: dropped deliveries, and executions whose caller was
//! gone.

use crate::Store;
use crate::support::*;
use std::sync::Arc;
use tidegate_core::{AbandonCause, Delivery, Verdict};
use tidegate_ports::{AbandonedExecution, LedgerStore, LoopEntry, PortError};

impl<S: Store> App<S> {
    async fn loops(&self, limit: u32) -> Vec<LoopEntry> {
        LedgerStore::loops(&*self.store, &self.name, limit).await.expect("the loops are listed")
    }

    async fn abandoned(&self, before: Option<&Delivery>, limit: u32) -> Vec<AbandonedExecution> {
        let before = before.map(|row| row.id);
        LedgerStore::abandoned(&*self.store, &self.name, before, limit).await.expect("the executions are listed")
    }
}

pub(crate) async fn a_loop_is_one_entry_per_trigger_and_root<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    let other = App::named(&store, "other").await;
    assert_eq!(app.loops(10).await, []);
    app.go(2).await;
    let rows = app.claim(lane.id, 2).await;
    for row in &rows {
        app.settle(row, Verdict::Dropped).await;
    }
    let loops = app.loops(10).await;
    let expected: Vec<_> = rows.iter().rev().map(|row| (row.event.root_id, 1, row.event.id)).collect();
    let shown: Vec<_> = loops.iter().map(|entry| (entry.root_id, entry.count, entry.last_event_id)).collect();
    assert_eq!(shown, expected, "the newest loop comes first");
    assert!(loops.iter().all(|entry| entry.trigger == lane.spec.name));
    assert_eq!((app.loops(1).await, other.loops(10).await), (loops[..1].to_vec(), vec![]));
    let missing = LedgerStore::loops(&*store, &app_name("missing"), 1).await;
    assert_eq!(missing, Err(PortError::UnknownApp));
}

pub(crate) async fn an_abandoned_execution_is_listed_with_its_cause<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    let other = App::named(&store, "other").await;
    app.go(3).await;
    let rows = app.claim(lane.id, 3).await;
    let causes = [AbandonCause::NodeLost, AbandonCause::CallerGone, AbandonCause::NodeLost];
    for (row, cause) in rows.iter().zip(causes) {
        app.settle(row, Verdict::Abandoned { cause }).await;
    }
    let shown = app.abandoned(None, 10).await;
    let expected: Vec<_> = rows.iter().zip(causes).rev().map(|(row, cause)| (row.id, row.event.id, cause)).collect();
    let found: Vec<_> = shown.iter().map(|one| (one.delivery_id, one.event_id, one.cause)).collect();
    assert_eq!(found, expected);
    for one in &shown {
        let known = (&one.outcome, one.status, &one.message);
        assert_eq!(
            (&one.trigger, known),
            (&lane.spec.name, (&None, None, &None)),
            "an execution without an outcome has null fields"
        );
    }
    assert_eq!(app.abandoned(None, 1).await, shown[..1]);
    assert_eq!(app.abandoned(Some(&rows[2]), 10).await, shown[1..]);
    assert_eq!(other.abandoned(None, 10).await, []);
}
