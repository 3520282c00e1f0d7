//! An emission may carry a claim: where the dispatcher of its process has room, the transaction that writes rows claims them
//! for it, by the same rules as every claim.

use crate::Store;
use crate::support::*;
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::{Delivery, InlineRoom, Lease, TriggerSpec};
use tidegate_ports::{Emission, OutboxStore, PortError, WakeHandle};

/// Long against what a store does, and short enough that a hang is noticed.
const PATIENCE: Duration = Duration::from_secs(20);

const ROOM: u32 = 10;

/// A dispatcher's end, which has room for so many rows.
fn attached<S: Store>(app: &App<S>, room: u32) -> WakeHandle {
    let wake = WakeHandle::default();
    OutboxStore::attach(&*app.store, wake.clone());
    wake.offer(InlineRoom::for_rows(room), LEASE);
    wake
}

/// What was claimed for it.
async fn carried(wake: &WakeHandle) -> Vec<Delivery> {
    // So that there is something to wait for even if there is nothing.
    wake.wake_for_discovery();
    let woken = tokio::time::timeout(PATIENCE, wake.next_wake_up()).await.expect("it was woken");
    // Its driver says so anew, now that it has heard of them.
    wake.offer(InlineRoom::for_rows(ROOM), LEASE);
    woken.inline_batch.map(|carried| carried.claimed).unwrap_or_default()
}

pub(crate) async fn an_emission_claims_its_rows_where_there_is_room<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let a = app.trigger(&on_app("a", "go")).await;
    let b = app.trigger(&on_app("b", "*")).await;
    let wake = attached(&app, 10);

    let emitted = app.go(2).await;

    assert!(emitted.iter().all(|one| woken(one) == [a.id, b.id] && one.is_claimed), "{emitted:?}");
    assert_eq!(emitted.iter().flat_map(tidegate_ports::EmittedEvent::waiting).count(), 0);
    let rows = carried(&wake).await;
    let expected: Vec<_> = [&a, &b].iter().flat_map(|lane| emitted.iter().map(|one| (lane.id, one.event_id))).collect();
    assert_eq!(rows.iter().map(|row| (row.trigger_id, row.event.id)).collect::<Vec<_>>(), expected);
    assert!(rows.iter().all(|row| (row.lease, row.attempt) == (Lease(1), 1)), "{rows:#?}");
    assert!(rows.iter().all(|row| row.runs_as == registrant() && row.handler.is_some()), "{rows:#?}");
    assert_eq!((app.claim(a.id, 10).await, app.claim(b.id, 10).await), (vec![], vec![]), "they are leased");
    for row in &rows {
        app.settle(row, done()).await;
    }
    assert_eq!(app.deliveries().await, []);
}

pub(crate) async fn a_mutation_claims_its_rows_too<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let lane = app.trigger(&on_kv("lane", "c", "*")).await;
    let wake = attached(&app, 10);

    let put = app.put("c", "k", "1").await;
    let rows = carried(&wake).await;
    assert_eq!(
        rows.iter().map(|row| (row.trigger_id, row.event.id)).collect::<Vec<_>>(),
        [(lane.id, put.emitted.event_id)]
    );
    assert_eq!((rows[0].event.event_type.as_str(), put.emitted.is_claimed), ("kv.set", true));

    let deleted = app.delete("c", "k").await.expect("there was a value");
    let rows = carried(&wake).await;
    assert_eq!(rows.iter().map(|row| row.event.id).collect::<Vec<_>>(), [deleted.emitted.event_id]);
    assert_eq!((rows[0].event.event_type.as_str(), deleted.emitted.is_claimed), ("kv.delete", true));

    assert_eq!((app.delete("c", "k").await, app.claim(lane.id, 10).await), (None, vec![]));
}

pub(crate) async fn an_emission_claims_no_more_than_there_is_room_for<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let a = app.trigger(&on_app("a", "go")).await.id;
    let b = app.trigger(&on_app("b", "go")).await.id;
    let wake = attached(&app, 4);

    let emitted = app.go(3).await;

    let rows = carried(&wake).await;
    assert_eq!(rows.iter().map(|row| row.trigger_id).collect::<Vec<_>>(), [a, a, a, b]);
    assert_eq!(emitted.iter().map(|one| one.is_claimed).collect::<Vec<_>>(), [true, false, false]);
    assert!(emitted[1].waiting().eq(emitted[1].lanes.iter().copied()), "who is told looks into all its lanes");
    assert_eq!(app.claim(a, 10).await, []);
    let rest: Vec<_> = app.claim(b, 10).await.iter().map(|row| row.event.id).collect();
    assert_eq!(rest, [emitted[1].event_id, emitted[2].event_id]);
}

/// A lane that is busy keeps no other from what an idle one gets.
pub(crate) async fn an_emission_leaves_the_rows_of_closed_lanes_alone<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let closed = app.trigger(&on_app("closed", "go")).await.id;
    let open = app.trigger(&on_app("open", "go")).await.id;
    let put = app.trigger(&on_kv("put", "c", "*")).await.id;
    let closed_put = app.trigger(&on_kv("closed-put", "c", "*")).await.id;
    let wake = attached(&app, 0);
    let room = || InlineRoom { rows: 2, closed_lanes: vec![closed, closed_put] };

    wake.offer(room(), LEASE);
    let emitted = app.go(2).await;
    let rows = carried(&wake).await;
    assert_eq!(rows.iter().map(|row| row.trigger_id).collect::<Vec<_>>(), [open, open]);
    assert!(emitted.iter().all(|one| !one.is_claimed));
    assert_eq!(app.claim(closed, 10).await.len(), 2);

    wake.offer(room(), LEASE);
    let mutated = app.put("c", "k", "1").await;
    let rows = carried(&wake).await;
    assert_eq!(rows.iter().map(|row| row.trigger_id).collect::<Vec<_>>(), [put]);
    assert!(!mutated.emitted.is_claimed);
    assert_eq!(app.claim(closed_put, 10).await.len(), 1);
}

/// Who emits need not tell anybody.
pub(crate) async fn the_dispatcher_is_told_of_what_was_not_claimed<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let emitted = app.trigger(&on_app("emitted", "go")).await.id;
    let put = app.trigger(&on_kv("put", "c", "*")).await.id;
    let wake = attached(&app, 0);
    app.go(1).await;
    app.put("c", "k", "1").await;
    let woken = tokio::time::timeout(PATIENCE, wake.next_wake_up()).await.expect("it is told");
    assert_eq!((woken.lanes, woken.inline_batch, woken.discover), (vec![emitted, put], None, false));

    app.delete("c", "k").await.expect("there was a value");
    let woken = tokio::time::timeout(PATIENCE, wake.next_wake_up()).await.expect("it is told");
    assert_eq!(woken.lanes, [put]);
}

/// Rows that are there already are not the emission's to look for.
pub(crate) async fn an_emission_claims_nothing_from_before<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    let before = app.go(3).await;
    let wake = attached(&app, 10);

    let emitted = app.go(1).await;

    let rows = carried(&wake).await;
    assert_eq!(rows.iter().map(|row| row.event.id).collect::<Vec<_>>(), [emitted[0].event_id]);
    let rest: Vec<_> = app.claim(lane.id, 10).await.iter().map(|row| row.event.id).collect();
    assert_eq!(rest, before.iter().map(|one| one.event_id).collect::<Vec<_>>());
}

/// A pause and a limit hold for every claim.
pub(crate) async fn an_emission_claims_nothing_that_waits_for_something_else<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    app.trigger(&on_app("paused", "go")).await;
    app.set_paused("paused", true).await.expect("the trigger is there");
    let limited = app.trigger(&TriggerSpec { max_concurrency: limit(1), ..on_app("limited", "go") }).await;
    let wake = attached(&app, 10);

    let emitted = app.go(2).await;

    let rows = carried(&wake).await;
    let first = (limited.id, emitted[0].event_id);
    assert_eq!(rows.iter().map(|row| (row.trigger_id, row.event.id)).collect::<Vec<_>>(), [first]);
    assert!(emitted.iter().all(|one| !one.is_claimed), "{emitted:?}");
    assert_eq!(app.claim(limited.id, 10).await, []);
    app.settle(&rows[0], done()).await;
    assert_eq!(app.next(limited.id).await.event.id, emitted[1].event_id);
}

pub(crate) async fn an_offer_comes_back_whatever_becomes_of_the_emission<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    let wake = attached(&app, 10);
    let first = app.emit_once("key", "digest", vec![new_event("go", "", "null")]).await.expect("it is emitted");
    assert_eq!(carried(&wake).await.len(), 1);

    let again = app.emit_once("key", "digest", vec![new_event("go", "", "null")]).await.expect("it is repeated");
    assert_eq!((again[0].event_id, carried(&wake).await), (first[0].event_id, vec![]));
    app.emit(vec![new_event("unheard", "", "null")]).await;
    let nobody = App { store: Arc::clone(&store), name: app_name("nobody") };
    let events = vec![new_event("go", "", "null")];
    let emission = Emission { app: nobody.name, events, cause: outside(), idempotency_key: None };
    assert_eq!(OutboxStore::emit(&*store, &emission).await, Err(PortError::UnknownApp));
    assert_eq!(carried(&wake).await, []);

    let taken = wake.try_inline_claim().expect("there is room");
    assert!(wake.try_inline_claim().is_none(), "one at a time");
    let emitted = app.go(1).await;
    assert_eq!((emitted[0].is_claimed, carried(&wake).await), (false, vec![]), "it is somebody else's");
    assert_eq!(app.claim(lane.id, 10).await.len(), 1);
    drop(taken);
    assert!(app.go(1).await[0].is_claimed);
    assert!(wake.try_inline_claim().is_none(), "not before the dispatcher has heard of what was claimed");
    assert_eq!(carried(&wake).await.len(), 1);
    assert!(wake.try_inline_claim().is_some());
}

/// Somebody emits and hangs up while the store is at it. The rows are the dispatcher's all the same.
pub(crate) async fn a_caller_that_is_gone_keeps_no_claim_to_itself<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    let wake = attached(&app, 10);
    let events = vec![new_event("go", "", "null")];
    let emission = Emission { app: app.name.clone(), events, cause: outside(), idempotency_key: None };

    {
        let emitting = OutboxStore::emit(&*store, &emission);
        tokio::select! {
            biased;
            _ = emitting => {}
            () = std::future::ready(()) => {}
        }
    }

    let woken = tokio::time::timeout(PATIENCE, wake.next_wake_up()).await.expect("the emission goes on");
    let rows = woken.inline_batch.map(|carried| carried.claimed).unwrap_or_default();
    assert_eq!(rows.len(), 1);
    assert_eq!(app.claim(lane.id, 10).await, []);
    app.settle(&rows[0], done()).await;
}
