//! What a claim takes: due rows of the named lanes, in order, no more than asked for, each by one claim at a time.

use crate::Store;
use crate::support::*;
use std::sync::Arc;

pub(crate) async fn a_lane_is_claimed_in_the_order_of_due_time_and_id<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let lane = app.trigger(&on_app("lane", "*")).await.id;
    for n in 0..5 {
        app.emit((0..3).map(|m| new_event("e", &format!("{n}-{m}"), "null")).collect()).await;
    }

    let claimed = app.claim(lane, 100).await;

    assert_eq!(claimed.len(), 15);
    assert!(claimed.is_sorted_by_key(|row| (row.due_at, row.id)), "{claimed:#?}");
    let subjects: Vec<_> = claimed.iter().map(|row| row.event.subject.to_string()).collect();
    assert!(subjects.is_sorted(), "events are handled in the order in which they were emitted: {subjects:?}");
}
