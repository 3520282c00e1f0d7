//! Inline claims: the transaction that writes rows also claims them, if the dispatcher of the same
//! process has room. The rules of all claims hold.

use crate::Store;
use crate::support::*;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::{Delivery, ExecError, InlineRoom, Micros, TriggerId, TriggerSpec, Verdict};
use tidegate_ports::{Emission, EmittedEvent, OutboxStore, PortError, WakeHandle, WakeUp};

/// Long enough for any store, and short enough that a hang fails the case.
const WAKE_UP_MAX: Duration = Duration::from_secs(20);

const ROOM: u32 = 10;

/// The wake handle of a dispatcher that is attached to the store and has room for `rows` rows.
fn attached<S: Store>(app: &App<S>, rows: u32) -> WakeHandle {
    let wake = WakeHandle::default();
    OutboxStore::attach(&*app.store, wake.clone());
    wake.set_inline_room(InlineRoom::for_rows(rows), LEASE);
    wake
}

async fn wake_up(wake: &WakeHandle) -> WakeUp {
    tokio::time::timeout(WAKE_UP_MAX, wake.next_wake_up()).await.expect("the dispatcher is woken within 20 s")
}

/// The rows that were claimed inline since the last call. Sets the room to [`ROOM`], as a driver
/// does after a wake-up.
async fn claimed_inline(wake: &WakeHandle) -> Vec<Delivery> {
    // Ends the wait even if no row was claimed.
    wake.wake_for_discovery();
    let woken = wake_up(wake).await;
    wake.set_inline_room(InlineRoom::for_rows(ROOM), LEASE);
    let deliveries = woken.inline_batch.map(|batch| batch.deliveries).unwrap_or_default();
    deliveries.into_iter().map(Arc::unwrap_or_clone).collect()
}

pub(crate) async fn an_emission_claims_its_rows_inline<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let a = app.trigger(&on_app("a", "go")).await;
    let b = app.trigger(&on_app("b", "*")).await;
    let wake = attached(&app, 10);

    let emitted = app.go(2).await;

    assert!(emitted.iter().all(|one| woken(one) == [a.id, b.id] && one.is_claimed), "{emitted:?}");
    assert_eq!(emitted.iter().flat_map(EmittedEvent::unclaimed_lanes).count(), 0);
    let rows = claimed_inline(&wake).await;
    let expected: Vec<_> = [&a, &b].iter().flat_map(|lane| emitted.iter().map(|one| (lane.id, one.event_id))).collect();
    assert_eq!(rows.iter().map(|row| (row.trigger_id, row.event.id)).collect::<Vec<_>>(), expected);
    assert!(rows.iter().all(|row| row.attempt == 1), "{rows:#?}");
    assert!(rows.iter().all(|row| row.runs_as == registrant() && row.handler.is_some()), "{rows:#?}");
    assert_eq!((app.claim(a.id, 10).await, app.claim(b.id, 10).await), (vec![], vec![]), "the rows are leased");
    for row in &rows {
        app.settle(row, done()).await;
    }
    assert_eq!(app.deliveries().await, []);
}

pub(crate) async fn a_mutation_claims_its_rows_inline<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let lane = app.trigger(&on_kv("lane", "c", "*")).await;
    let wake = attached(&app, 10);

    let put = app.put("c", "k", "1").await;
    let rows = claimed_inline(&wake).await;
    assert_eq!(
        rows.iter().map(|row| (row.trigger_id, row.event.id)).collect::<Vec<_>>(),
        [(lane.id, put.emitted.event_id)]
    );
    assert_eq!((rows[0].event.event_type.as_str(), put.emitted.is_claimed), ("kv.set", true));

    let deleted = app.delete("c", "k").await.expect("the key has a value");
    let rows = claimed_inline(&wake).await;
    assert_eq!(rows.iter().map(|row| row.event.id).collect::<Vec<_>>(), [deleted.emitted.event_id]);
    assert_eq!((rows[0].event.event_type.as_str(), deleted.emitted.is_claimed), ("kv.delete", true));

    assert_eq!((app.delete("c", "k").await, app.claim(lane.id, 10).await), (None, vec![]));
}

pub(crate) async fn an_inline_claim_takes_no_more_rows_than_the_room<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let a = app.trigger(&on_app("a", "go")).await.id;
    let b = app.trigger(&on_app("b", "go")).await.id;
    let wake = attached(&app, 4);

    let emitted = app.go(3).await;

    let rows = claimed_inline(&wake).await;
    assert_eq!(rows.iter().map(|row| row.trigger_id).collect::<Vec<_>>(), [a, a, a, b]);
    assert_eq!(emitted.iter().map(|one| one.is_claimed).collect::<Vec<_>>(), [true, false, false]);
    assert!(emitted[1].unclaimed_lanes().eq(emitted[1].lanes.iter().copied()), "all lanes of the event are woken");
    assert_eq!(app.claim(a, 10).await, []);
    let rest: Vec<_> = app.claim(b, 10).await.iter().map(|row| row.event.id).collect();
    assert_eq!(rest, [emitted[1].event_id, emitted[2].event_id]);
}

/// A closed lane does not prevent the inline claim of an open lane.
pub(crate) async fn an_inline_claim_takes_no_rows_of_closed_lanes<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let closed = app.trigger(&on_app("closed", "go")).await.id;
    let open = app.trigger(&on_app("open", "go")).await.id;
    let put = app.trigger(&on_kv("put", "c", "*")).await.id;
    let closed_put = app.trigger(&on_kv("closed-put", "c", "*")).await.id;
    let wake = attached(&app, 0);
    let room = || InlineRoom { rows: 2, closed_lanes: vec![closed, closed_put] };

    wake.set_inline_room(room(), LEASE);
    let emitted = app.go(2).await;
    let rows = claimed_inline(&wake).await;
    assert_eq!(rows.iter().map(|row| row.trigger_id).collect::<Vec<_>>(), [open, open]);
    assert!(emitted.iter().all(|one| !one.is_claimed));
    assert_eq!(app.claim(closed, 10).await.len(), 2);

    wake.set_inline_room(room(), LEASE);
    let mutated = app.put("c", "k", "1").await;
    let rows = claimed_inline(&wake).await;
    assert_eq!(rows.iter().map(|row| row.trigger_id).collect::<Vec<_>>(), [put]);
    assert!(!mutated.emitted.is_claimed);
    assert_eq!(app.claim(closed_put, 10).await.len(), 1);
}

/// Event types, the rows of the room, and which of the lanes are closed.
type RuleCase = (Vec<&'static str>, u32, Vec<usize>);

/// The type patterns of the lanes in the case of the rule.
const LANES: [&str; 4] = ["*", "a*", "*b", "ab"];

/// Each of these types matches a different set of lanes: 1, 2, 2 and 4 lanes.
const TYPES: [&str; 4] = ["x", "a", "b", "ab"];

fn rule_case() -> impl Strategy<Value = RuleCase> {
    let types = proptest::collection::vec(select(TYPES.to_vec()), 1..8);
    (types, 0..20_u32, subsequence((0..LANES.len()).collect::<Vec<_>>(), 0..=LANES.len()))
}

/// `InlineRoom::quotas` is the rule. A store on Postgres repeats it in SQL, so that the claim needs
/// no round trip of its own. This case fails if the two differ.
pub(crate) async fn an_inline_claim_takes_the_quotas_of_the_core<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let mut lanes = Vec::new();
    for (n, types) in LANES.iter().enumerate() {
        lanes.push(app.trigger(&on_app(&format!("lane-{n}"), types)).await.id);
    }
    let wake = attached(&app, 0);
    let picked: Vec<RuleCase> = vec![
        (vec!["ab"], 0, vec![]),
        (vec!["ab"], 4, vec![]),
        (vec!["ab"], 2, vec![0]),
        (vec!["ab"], 9, vec![0, 1, 2, 3]),
        (vec!["ab", "ab", "ab"], 5, vec![]),
        (vec!["ab", "ab", "ab"], 5, vec![1]),
        (vec!["x", "a", "b", "ab"], 8, vec![]),
        (vec!["x", "x", "ab"], 4, vec![2]),
        (vec!["b", "a"], 3, vec![0, 3]),
    ];
    let mut claimed_in_part = 0;

    for (types, rows, closed) in picked.into_iter().chain(draw(40, &rule_case())) {
        let room = InlineRoom { rows, closed_lanes: closed.iter().map(|lane| lanes[*lane]).collect() };
        wake.set_inline_room(room.clone(), LEASE);
        let emitted = app.emit(types.iter().map(|event_type| new_event(event_type, "", "null")).collect()).await;
        let claimed = check_quotas(&wake, &room, &emitted).await;
        claimed_in_part += u32::from((1..emitted.iter().map(|one| one.lanes.len()).sum()).contains(&claimed.len()));
        settle_all(&app, &lanes, claimed).await;
    }

    assert!(claimed_in_part > 20, "only {claimed_in_part} emissions were claimed in part");
}

pub(crate) async fn an_inline_claim_of_a_mutation_takes_the_quotas_of_the_core<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let mut lanes = Vec::new();
    for name in ["a", "b", "c"] {
        lanes.push(app.trigger(&on_kv(name, "c", "*")).await.id);
    }
    let wake = attached(&app, 0);
    for rows in 0..=4 {
        for closed in [&lanes[..0], &lanes[..1], &lanes[1..2], &lanes[1..], &lanes[..]] {
            let room = InlineRoom { rows, closed_lanes: closed.to_vec() };
            wake.set_inline_room(room.clone(), LEASE);
            let put = app.put("c", "k", "1").await;
            let claimed = check_quotas(&wake, &room, &[put.emitted]).await;
            settle_all(&app, &lanes, claimed).await;

            wake.set_inline_room(room.clone(), LEASE);
            let deleted = app.delete("c", "k").await.expect("the key has a value");
            let claimed = check_quotas(&wake, &room, &[deleted.emitted]).await;
            settle_all(&app, &lanes, claimed).await;
        }
    }
}

/// Compares the number of rows claimed inline in each lane with the quotas of `room`, and returns
/// the rows.
async fn check_quotas(wake: &WakeHandle, room: &InlineRoom, emitted: &[EmittedEvent]) -> Vec<Delivery> {
    let written: Vec<TriggerId> = emitted.iter().flat_map(|one| one.lanes.iter().copied()).collect();
    let claimed = claimed_inline(wake).await;
    let mut actual = BTreeMap::new();
    for row in &claimed {
        *actual.entry(row.trigger_id).or_insert(0) += 1;
    }
    let quotas = room.quotas(written.iter().copied(), |_| false);
    assert_eq!(actual, quotas, "rows claimed per lane, for {room:?} and rows written to {written:?}");
    claimed
}

/// Settles `claimed` and all other rows of `lanes`, so that the outbox is empty.
async fn settle_all<S: Store>(app: &App<S>, lanes: &[TriggerId], claimed: Vec<Delivery>) {
    let all_done = |rows: Vec<Delivery>| rows.iter().map(|row| settlement(row, done())).collect::<Vec<_>>();
    let rest = app.exchange(all_done(claimed), lanes.iter().map(|lane| quota(*lane, 100)).collect()).await.claimed;
    app.exchange(all_done(rest), Vec::new()).await;
    assert_eq!(app.deliveries().await, []);
}

/// The store wakes the dispatcher. The caller that emits an event or puts a value does not.
pub(crate) async fn lanes_without_an_inline_claim_wake_the_dispatcher<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let emitted = app.trigger(&on_app("emitted", "go")).await.id;
    let put = app.trigger(&on_kv("put", "c", "*")).await.id;
    let wake = attached(&app, 0);
    app.go(1).await;
    app.put("c", "k", "1").await;
    let woken = wake_up(&wake).await;
    assert_eq!((woken.lanes, woken.inline_batch, woken.discover), (vec![emitted, put], None, false));

    app.delete("c", "k").await.expect("the key has a value");
    assert_eq!(wake_up(&wake).await.lanes, [put]);
}

pub(crate) async fn an_inline_claim_takes_no_older_rows<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    let before = app.go(3).await;
    let wake = attached(&app, 10);

    let emitted = app.go(1).await;

    let rows = claimed_inline(&wake).await;
    assert_eq!(rows.iter().map(|row| row.event.id).collect::<Vec<_>>(), [emitted[0].event_id]);
    let rest: Vec<_> = app.claim(lane.id, 10).await.iter().map(|row| row.event.id).collect();
    assert_eq!(rest, before.iter().map(|one| one.event_id).collect::<Vec<_>>());
}

/// Rows of a paused lane wait. So do rows of a limited lane, because only an exchange counts its
/// slots. They use no room, and the dispatcher is woken for them.
pub(crate) async fn an_inline_claim_respects_pauses_and_limits<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let limited = app.trigger(&TriggerSpec { max_concurrency: limit(1), ..on_app("limited", "*") }).await;
    let open = app.trigger(&on_app("open", "*")).await;
    app.trigger(&on_app("paused", "go")).await;
    app.set_paused("paused", true).await.expect("the trigger exists");
    let wake = attached(&app, 2);

    let emitted = app.go(2).await;

    let rows = claimed_inline(&wake).await;
    assert_eq!(rows.iter().map(|row| row.trigger_id).collect::<Vec<_>>(), [open.id, open.id]);
    assert!(emitted.iter().all(|one| !one.is_claimed), "{emitted:?}");
    assert!(emitted[1].unclaimed_lanes().any(|lane| lane == limited.id), "{emitted:?}");
    let row = app.next(limited.id).await;
    assert_eq!(row.event.id, emitted[0].event_id);
    assert_eq!(app.claim(limited.id, 10).await, []);
    app.settle(&row, done()).await;
    assert_eq!(app.next(limited.id).await.event.id, emitted[1].event_id);

    app.trigger(&TriggerSpec { max_concurrency: None, ..limited.spec }).await;
    app.emit(vec![new_event("other", "", "null")]).await;
    let lanes: Vec<_> = claimed_inline(&wake).await.iter().map(|row| row.trigger_id).collect();
    assert_eq!(lanes, [limited.id, open.id], "the lane has no limit any more");
}

pub(crate) async fn a_new_limit_counts_rows_that_were_claimed_inline<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let spec = on_app("limited", "go");
    let lane = app.trigger(&spec).await.id;
    let wake = attached(&app, ROOM);
    app.go(2).await;
    let rows = claimed_inline(&wake).await;
    assert_eq!(rows.len(), 2);

    app.trigger(&TriggerSpec { max_concurrency: limit(2), ..spec }).await;
    app.go(3).await;
    assert_eq!(claimed_inline(&wake).await, []);
    assert_eq!(app.claim(lane, 9).await, []);
    app.settle(&rows[0], done()).await;
    assert_eq!(app.claim(lane, 9).await.len(), 1);
}

pub(crate) async fn rows_of_one_lane_claimed_inline_have_one_number<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    for name in ["a", "b"] {
        app.trigger(&on_app(name, "go")).await;
    }
    let wake = attached(&app, 10);
    app.go(2).await;
    let first = claimed_inline(&wake).await;
    app.go(1).await;
    let second = claimed_inline(&wake).await;

    let leases: Vec<_> = first.iter().chain(&second).map(|row| row.lease).collect();
    assert_eq!((leases.len(), leases[0], leases[2]), (6, leases[1], leases[3]));
    assert_eq!(leases.iter().collect::<BTreeSet<_>>().len(), 4, "{leases:?}");
    assert_eq!(app.renew(&[&first[1]], Micros(1)).await, []);
    let again = app.claim_suspects(first[0].trigger_id).await;
    assert_eq!(ids(&again), ids(&first[..2]), "the renewal has shortened the lease of both rows");
}

/// The dispatcher never got the rows. They are found because their lease expires.
pub(crate) async fn the_rows_of_a_lost_inline_claim_become_suspects<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    let wake = attached(&app, 0);
    wake.set_inline_room(InlineRoom::for_rows(ROOM), Micros(1));
    app.go(2).await;
    let lost = claimed_inline(&wake).await;
    assert_eq!((lost.len(), app.lanes().await), (2, vec![]));
    assert_eq!(app.lost_lanes().await, [lane.id]);

    let rows = app.claim_suspects(lane.id).await;

    assert_eq!((ids(&rows), rows[0].lost, rows[1].lost), (ids(&lost), 1, 1));
    let history = app.delivery(rows[0].id).await.expect("the row exists").failed;
    assert_eq!(history.iter().map(|one| (one.attempt, one.error)).collect::<Vec<_>>(), [(1, ExecError::Lost)]);
    assert_eq!(app.try_settle(&lost[0], done()).await.fenced, [claim_of(&lost[0])]);
    app.settle(&rows[0], Verdict::Deferred { delay: Micros::ZERO }).await;
    assert_eq!(ids(&app.claim_suspects(lane.id).await), ids(&rows[..1]));
}

/// After an emission that is repeated, matches no trigger or fails, the next emission can claim
/// inline. Two transactions never claim inline at the same time.
pub(crate) async fn every_emission_returns_its_inline_claim_guard<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    let wake = attached(&app, 10);
    let first = app.emit_once("key", "digest", vec![new_event("go", "", "null")]).await.expect("the event is emitted");
    assert_eq!(claimed_inline(&wake).await.len(), 1);

    let again = app.emit_once("key", "digest", vec![new_event("go", "", "null")]).await.expect("the key is known");
    assert_eq!((again[0].event_id, claimed_inline(&wake).await), (first[0].event_id, vec![]));
    app.emit(vec![new_event("unmatched", "", "null")]).await;
    let (missing_app, events) = (app_name("missing"), vec![new_event("go", "", "null")]);
    let emission = Emission { app: missing_app, events, cause: outside(), idempotency_key: None };
    assert_eq!(OutboxStore::emit(&*store, &emission).await, Err(PortError::UnknownApp));
    assert_eq!(claimed_inline(&wake).await, []);

    let guard = wake.try_inline_claim().expect("the dispatcher has room");
    assert!(wake.try_inline_claim().is_none(), "one guard exists at a time");
    let emitted = app.go(1).await;
    assert_eq!((emitted[0].is_claimed, claimed_inline(&wake).await), (false, vec![]), "the case holds the guard");
    assert_eq!(app.claim(lane.id, 10).await.len(), 1);
    drop(guard);
    assert!(app.go(1).await[0].is_claimed);
    assert!(wake.try_inline_claim().is_none(), "the dispatcher has not received the last batch");
    assert_eq!(claimed_inline(&wake).await.len(), 1);
    assert!(wake.try_inline_claim().is_some());
}

/// The caller is dropped while the store writes. The dispatcher receives the claimed rows.
pub(crate) async fn a_dropped_caller_does_not_lose_an_inline_claim<S: Store>(store: Arc<S>) {
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

    let rows = wake_up(&wake).await.inline_batch.map(|batch| batch.deliveries).unwrap_or_default();
    assert_eq!(rows.len(), 1);
    assert_eq!(app.claim(lane.id, 10).await, []);
    app.settle(&rows[0], done()).await;
}
