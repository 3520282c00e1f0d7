//! The list of deliveries, as the API shows it.

use crate::Store;
use crate::support::*;
use std::sync::Arc;
use tidegate_core::{DeliveryId, Verdict};
use tidegate_ports::{
    DeliveryFilter, DeliveryState, DeliveryStore, DeliverySummary, PageSize, PortError, QueueState, QueueStore,
};

pub(crate) async fn a_waiting_row_is_shown_with_all_fields<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(1).await;

    let rows = app.deliveries().await;

    let claimed = app.next(lane.id).await;
    let ready = DeliverySummary {
        id: claimed.id,
        trigger: claimed.trigger_name,
        state: DeliveryState::Ready,
        event: claimed.event,
        attempt: 0,
        lost: 0,
        max_attempts: claimed.policy.max_attempts(),
        due_at: claimed.due_at,
        enqueued_at: claimed.enqueued_at,
        failed: Vec::new(),
    };
    let leased = DeliverySummary { state: DeliveryState::Leased, attempt: 1, ..ready.clone() };
    assert_eq!(rows, [ready]);
    assert_eq!(app.delivery(leased.id).await, Some(leased));
}

/// An app with one row in each state, and one row with an expired lease, which is ready again.
async fn in_every_state<S: Store>(store: &Arc<S>) -> (App<S>, [DeliveryId; 4]) {
    let (app, lane) = App::with_lane(store).await;
    app.go(4).await;
    let rows = app.claim(lane.id, 4).await;
    let defer = |n: usize, delay| settlement(&rows[n], Verdict::Deferred { delay });
    let no_delay = tidegate_core::Micros::ZERO;
    app.exchange(vec![defer(0, no_delay), defer(2, no_delay), defer(3, A_MINUTE)], Vec::new()).await;
    // Rows 0 and 2 have the same due time, so the claim takes row 0, which has the lower id. Its
    // lease expires at once.
    let (_, expired) = app.next_expiring(lane.id).await;
    assert_eq!(expired.id, rows[0].id);
    (app, [rows[0].id, rows[1].id, rows[2].id, rows[3].id])
}

pub(crate) async fn each_row_shows_its_state<S: Store>(store: Arc<S>) {
    let (app, [expired, leased, ready, scheduled]) = in_every_state(&store).await;
    use DeliveryState::{Leased, Ready, Scheduled};
    let states: Vec<_> = app.deliveries().await.iter().map(|row| (row.id, row.state)).collect();
    assert_eq!(states, [(expired, Ready), (leased, Leased), (ready, Ready), (scheduled, Scheduled)]);
    for (id, state) in states {
        assert_eq!(app.delivery(id).await.map(|row| row.state), Some(state));
    }
}

pub(crate) async fn rows_are_filtered_and_listed_by_id<S: Store>(store: Arc<S>) {
    let (app, [expired, leased, ready, scheduled]) = in_every_state(&store).await;
    app.trigger(&on_app("other", "go-on")).await;
    app.emit(vec![new_event("go-on", "", "null")]).await;
    let all = app.deliveries().await;
    let other = all.last().expect("the list has rows").id;

    let any = DeliveryFilter { size: PageSize::of(100), ..DeliveryFilter::default() };
    let of = |name: &str| Some(trigger_name(name));
    use DeliveryState::{Leased, Ready, Scheduled};
    for (expected, filter) in [
        (vec![expired, leased, ready, scheduled, other], any.clone()),
        (vec![expired, leased, ready, scheduled], DeliveryFilter { trigger: of("lane"), ..any.clone() }),
        (vec![other], DeliveryFilter { trigger: of("other"), ..any.clone() }),
        (vec![], DeliveryFilter { trigger: of("missing"), ..any.clone() }),
        (vec![expired, ready, other], DeliveryFilter { state: Some(Ready), ..any.clone() }),
        (vec![leased], DeliveryFilter { state: Some(Leased), ..any.clone() }),
        (vec![scheduled], DeliveryFilter { state: Some(Scheduled), ..any.clone() }),
        (vec![ready, scheduled, other], DeliveryFilter { after: Some(leased), ..any.clone() }),
        (vec![], DeliveryFilter { after: Some(other), ..any.clone() }),
        (vec![expired, leased], DeliveryFilter { size: PageSize::of(2), ..any.clone() }),
        (
            vec![ready],
            DeliveryFilter { trigger: of("lane"), state: Some(Ready), after: Some(expired), size: PageSize::of(1) },
        ),
    ] {
        let found: Vec<_> = app.deliveries_by(&filter).await.iter().map(|row| row.id).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
}

pub(crate) async fn the_rows_of_a_deleted_trigger_are_still_shown<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(1).await;
    let before = app.deliveries().await;
    app.delete_trigger("lane").await;
    app.trigger(&lane.spec).await;

    assert_eq!(app.deliveries().await, before);
    assert_eq!(app.delivery(before[0].id).await.as_ref(), Some(&before[0]));
}

pub(crate) async fn a_row_is_shown_only_in_its_app<S: Store>(store: Arc<S>) {
    let (app, _) = App::with_lane(&store).await;
    let other = App::named(&store, "other").await;
    app.go(1).await;
    let id = app.deliveries().await[0].id;

    assert_eq!((other.deliveries().await, other.delivery(id).await), (vec![], None));
    assert_eq!(app.delivery(DeliveryId(id.0 + 1_000_000)).await, None);
}

pub(crate) async fn deliveries_of_an_unknown_app_are_an_error<S: Store>(store: Arc<S>) {
    let missing = app_name("missing");
    let filter = DeliveryFilter { size: PageSize::of(10), ..DeliveryFilter::default() };
    assert_eq!(DeliveryStore::list(&*store, &missing, &filter).await, Err(PortError::UnknownApp));
    assert_eq!(DeliveryStore::get(&*store, &missing, DeliveryId(1)).await, Err(PortError::UnknownApp));
}

pub(crate) async fn a_queue_shows_its_depth_and_its_oldest_due_time<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    let queues = async |count_max| QueueStore::queues(&*app.store, count_max).await.expect("the queues are read");
    assert_eq!(queues(10).await.1, []);
    app.go(3).await;
    let first = app.deliveries().await[0].due_at;
    let state =
        |depth, oldest_due| QueueState { app: app.name.clone(), trigger: lane.spec.name.clone(), depth, oldest_due };
    let (now, found) = queues(10).await;
    assert_eq!(found, [state(3, Some(first))]);
    assert!(now >= first);
    assert_eq!(queues(2).await.1, [state(2, Some(first))], "the depth is counted up to the given maximum");
    app.claim(lane.id, 3).await;
    assert_eq!(queues(10).await.1, [state(3, None)], "a leased row has no oldest due time");
}
