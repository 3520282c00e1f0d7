//! Several dispatchers on one store: no row is claimed twice or lost, and no increment is lost.

use crate::Store;
use crate::support::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use tidegate_core::{Claim, Delivery, DeliveryId, Effects, LaneQuota, Micros, TriggerId, TriggerSpec, Verdict};
use tidegate_ports::{DeliveryFilter, Guard, KvStore, PageSize, PortError};
use tokio::sync::Barrier;

/// The claims and settlements of all tasks of a case.
#[derive(Default)]
struct Ledger {
    /// Every claim that a task received.
    claims: BTreeSet<Claim>,
    /// How many times each row was done.
    done: BTreeMap<DeliveryId, u32>,
}

/// Eight dispatchers drain four lanes. Each row fails at its first attempt and is done at its
/// second.
pub(crate) async fn eight_dispatchers_receive_each_claim_once<S: Store>(store: Arc<S>) {
    const ROWS: usize = 4 * 150;
    let app = App::new(&store).await;
    let mut lanes = Vec::new();
    for name in ["a", "b", "c", "d"] {
        lanes.push(app.trigger(&on_app(name, "go")).await.id);
    }
    app.go(150).await;
    let ledger = Arc::new(Mutex::new(Ledger::default()));

    at_once(8, |_| drain(app.clone(), lanes.clone(), Arc::clone(&ledger), ROWS)).await;

    let Ledger { claims, done } = std::mem::take(&mut *ledger.lock().expect("no task has panicked"));
    assert_eq!((done.len(), claims.len()), (ROWS, 2 * ROWS));
    assert!(done.values().all(|times| *times == 1), "{done:?}");
    assert_eq!(app.deliveries().await, []);
    assert_eq!(app.letters().await, []);
}

async fn drain<S: Store>(app: App<S>, lanes: Vec<TriggerId>, ledger: Arc<Mutex<Ledger>>, rows: usize) {
    let mut held: Vec<Delivery> = Vec::new();
    loop {
        let settle = held.iter().map(|row| settlement(row, done_at_second_attempt(row))).collect();
        let reply = app.exchange(settle, lanes.iter().map(|lane| quota(*lane, 7)).collect()).await;
        assert_eq!((reply.fenced, reply.conflicted), (vec![], vec![]));
        {
            let mut ledger = ledger.lock().expect("no task has panicked");
            for row in held.iter().filter(|row| row.attempt == 2) {
                *ledger.done.entry(row.id).or_default() += 1;
            }
            for row in &reply.claimed {
                assert!(ledger.claims.insert(claim_of(row)), "two tasks received {:?}", claim_of(row));
            }
            if ledger.done.len() == rows {
                assert_eq!(reply.claimed, []);
                return;
            }
        }
        held = reply.claimed;
        tokio::task::yield_now().await;
    }
}

fn done_at_second_attempt(row: &Delivery) -> Verdict {
    match row.attempt {
        1 => Verdict::Retry { delay: Micros::ZERO, failed: threw(1, row.due_at, "not yet") },
        _ => done(),
    }
}

/// Eight dispatchers make 200 increments of three counters, each with reads and writes. At the same
/// time 30 increments are made by plain puts.
pub(crate) async fn concurrent_increments_by_effects_are_all_counted<S: Store>(store: Arc<S>) {
    const COUNTERS: [&str; 3] = ["x", "y", "z"];
    const ROWS: u32 = 200;
    const PUTS: u32 = 30;
    let (app, lane) = App::with_lane(&store).await;
    for counter in COUNTERS {
        app.put("c", counter, "0").await;
    }
    app.go(ROWS).await;

    let puts = {
        let app = app.clone();
        tokio::spawn(async move {
            for n in 0..PUTS {
                increment_by_put(&app, COUNTERS[n as usize % 3]).await;
            }
        })
    };
    let conflicts = at_once(8, |_| increment(app.clone(), lane.id, COUNTERS)).await;
    puts.await.expect("the task of the puts ends");

    let mut sum = 0;
    for counter in COUNTERS {
        sum +=
            app.value("c", counter).await.expect("the counter exists").parse::<u32>().expect("the counter is a number");
    }
    assert_eq!(sum, 2 * ROWS + PUTS, "after {conflicts:?} conflicts");
    assert_eq!(app.deliveries().await, []);
}

/// Each delivery increments two of the counters. After a conflict, the counters are read again and
/// the delivery is settled again with the same claim.
async fn increment<S: Store>(app: App<S>, lane: TriggerId, counters: [&'static str; 3]) -> u32 {
    let mut conflicts = 0;
    let mut held: Vec<Delivery> = Vec::new();
    loop {
        let mut settle = Vec::new();
        for row in &held {
            let nth = row.id.0 as usize;
            let (one, other) = (counters[nth % 3], counters[(nth + 1 + nth / 3 % 2) % 3]);
            settle.push(settlement(row, done_with(incremented(&app, [one, other]).await)));
        }
        let claim = if held.len() < 3 { vec![quota(lane, 3)] } else { Vec::new() };
        let reply = app.exchange(settle, claim).await;
        assert_eq!(reply.fenced, []);
        conflicts += reply.conflicted.len() as u32;
        held.retain(|row| reply.conflicted.contains(&claim_of(row)));
        held.extend(reply.claimed);
        if held.is_empty() {
            return conflicts;
        }
    }
}

async fn incremented<S: Store>(app: &App<S>, counters: [&str; 2]) -> Effects {
    let mut effects = Effects::default();
    for counter in counters {
        let entry = app.get("c", counter).await.expect("the counter exists");
        let next = entry.value.as_str().parse::<u32>().expect("the counter is a number") + 1;
        effects.reads.push(read("c", counter, Some(entry.version)));
        effects.writes.push(write("c", counter, Some(&next.to_string())));
    }
    effects
}

async fn increment_by_put<S: Store>(app: &App<S>, counter: &str) {
    loop {
        let entry = app.get("c", counter).await.expect("the counter exists");
        let next = entry.value.as_str().parse::<u32>().expect("the counter is a number") + 1;
        let guard = Guard::Version(entry.version);
        let (collection, at) = (collection("c"), key(counter));
        match KvStore::put(&*app.store, &app.name, &collection, &at, json(&next.to_string()), guard, &outside()).await {
            Ok(_) => return,
            Err(PortError::PreconditionFailed { .. }) => {}
            Err(error) => panic!("an increment by a put failed: {error}"),
        }
    }
}

/// Concurrent claims of a limited lane never lease more rows than its limit. They may lease fewer
/// rows than the limit; the next claim takes the rest.
pub(crate) async fn concurrent_claims_never_exceed_the_limit<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let lane = app.trigger(&TriggerSpec { max_concurrency: limit(3), ..on_app("lane", "go") }).await.id;
    app.go(60).await;
    for _ in 0..20 {
        let start = Arc::new(Barrier::new(8));
        let claims = at_once(8, |_| {
            let (app, start) = (app.clone(), Arc::clone(&start));
            async move {
                start.wait().await;
                app.claim(lane, 2).await
            }
        });
        let mut claimed: Vec<_> = claims.await.into_iter().flatten().collect();
        assert!(claimed.len() <= 3, "{:?}", ids(&claimed));
        claimed.extend(app.claim(lane, 9).await);
        assert_eq!(claimed.len(), 3, "{:?}", ids(&claimed));
        app.exchange(claimed.iter().map(|row| settlement(row, done())).collect(), Vec::new()).await;
    }
    assert_eq!(app.deliveries().await, []);
}

/// Tasks settle and claim the same lanes in opposite orders. All their exchanges succeed.
pub(crate) async fn exchanges_in_opposite_orders_do_not_deadlock<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let mut lanes = Vec::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        lanes.push(app.trigger(&TriggerSpec { max_concurrency: limit(50), ..on_app(name, "go") }).await.id);
    }
    app.trigger(&on_kv("writes", "*", "*")).await;
    app.go(60).await;

    let done = at_once(6, |n| {
        let (app, mut lanes) = (app.clone(), lanes.clone());
        if n % 2 == 1 {
            lanes.reverse();
        }
        async move { write_the_same_keys(&app, &lanes, n % 2 == 1).await }
    });

    assert_eq!(done.await.iter().sum::<usize>(), 6 * 60);
    assert_eq!(app.entries("c").await.len(), 5);
}

/// Drains `lanes`. Each delivery writes the same five keys without reading them, in order or in
/// reverse order. Returns the number of deliveries.
async fn write_the_same_keys<S: Store>(app: &App<S>, lanes: &[TriggerId], backwards: bool) -> usize {
    let claim: Vec<LaneQuota> = lanes.iter().map(|lane| quota(*lane, 2)).collect();
    let mut keys = ["a", "b", "c", "d", "e"];
    if backwards {
        keys.reverse();
    }
    let mut held: Vec<Delivery> = app.exchange(Vec::new(), claim.clone()).await.claimed;
    let mut count = 0;
    while !held.is_empty() {
        if backwards {
            held.reverse();
        }
        let writes = |row: &Delivery| keys.map(|key| write("c", key, Some(&row.id.to_string()))).into();
        let verdict = |row| done_with(Effects { writes: writes(row), ..Effects::default() });
        let reply = app.exchange(held.iter().map(|row| settlement(row, verdict(row))).collect(), claim.clone()).await;
        assert_eq!((reply.fenced, reply.conflicted), (vec![], vec![]));
        count += held.len();
        held = reply.claimed;
    }
    count
}

/// Leases expire while other tasks claim the row. A row has one valid claim at a time, and only
/// that claim settles it.
pub(crate) async fn only_the_last_of_many_claims_of_a_row_is_applied<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.put("c", "n", "0").await;
    app.go(1).await;

    app.next_expiring(lane.id).await;

    // Each task claims the row with a lease that expires at once.
    let claims = at_once(8, |_| {
        let app = app.clone();
        async move { app.next_suspect_expiring(lane.id).await.1 }
    });
    let mut rows = claims.await;
    rows.sort_by_key(|row| row.lease);
    assert!(rows.iter().is_sorted_by(|one, next| one.lease < next.lease), "no number is used twice: {rows:#?}");

    let replies = at_once(8, |n| {
        let (app, row) = (app.clone(), rows[n].clone());
        let effects = Effects { writes: vec![write("c", "n", Some(&row.lease.to_string()))], ..Effects::default() };
        async move { app.try_settle(&row, done_with(effects)).await.fenced }
    });

    assert_eq!(replies.await.iter().filter(|fenced| fenced.is_empty()).count(), 1);
    assert_eq!(app.value("c", "n").await, Some(rows[7].lease.to_string()), "the last claim has the greatest number");
    assert_eq!(app.deliveries().await, []);
}

/// A dispatcher may send a settlement again while the store still applies the first one. One
/// settlement is applied, and the others are fenced.
pub(crate) async fn a_settlement_sent_four_times_at_once_is_applied_once<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.trigger(&on_app("events", "matched")).await;
    app.trigger(&on_dead_letter("deaths", "*")).await;
    let event = || done_with(Effects { events: vec![new_event("matched", "", "null")], ..Effects::default() });
    let failed = threw(1, app.discover().await.0, "it broke");
    let retry = || Verdict::Retry { delay: A_MINUTE, failed: failed.clone() };
    for _ in 0..10 {
        for verdict in [event(), dead(failed.clone()), retry(), done()] {
            app.go(1).await;
            let row = app.next(lane.id).await;
            let start = Arc::new(Barrier::new(4));
            let replies = at_once(4, |_| {
                let (app, row, verdict, start) = (app.clone(), row.clone(), verdict.clone(), Arc::clone(&start));
                async move {
                    start.wait().await;
                    app.try_settle(&row, verdict).await.fenced
                }
            });
            let applied = replies.await.iter().filter(|fenced| fenced.is_empty()).count();
            assert_eq!(applied, 1, "{}", verdict.name());
        }
    }
    let waiting = app.waiting().await;
    let count = |name: &str| waiting.iter().filter(|waits| *waits == name).count();
    assert_eq!(["events", "deaths", "lane"].map(count), [10, 10, 10]);
    assert_eq!(app.letters().await.len(), 10);
    assert!(app.deliveries_by(&lane_rows()).await.iter().all(|row| row.failed == [failed.clone()]));
}

fn lane_rows() -> DeliveryFilter {
    DeliveryFilter { trigger: Some(trigger_name("lane")), size: PageSize::of(100), ..DeliveryFilter::default() }
}
