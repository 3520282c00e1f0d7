//! Claims: due rows of the named lanes, in order, up to the quota. A row has one claim at a time.

use crate::Store;
use crate::support::*;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tidegate_core::{Handler, Micros, PrincipalId, TriggerId, TriggerName, TriggerSpec, Verdict};
use tidegate_ports::{ScriptStore, TriggerStore};

pub(crate) async fn a_lane_is_claimed_in_the_order_of_its_emissions<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    for n in 0..5 {
        app.emit((0..3).map(|m| new_event("go", &format!("{n}-{m}"), "null")).collect()).await;
    }

    let claimed = app.claim(lane.id, 100).await;

    assert_eq!(claimed.len(), 15);
    assert!(claimed.is_sorted_by_key(|row| (row.due_at, row.id)), "{claimed:#?}");
    let subjects: Vec<_> = claimed.iter().map(|row| row.event.subject.to_string()).collect();
    assert!(subjects.is_sorted(), "{subjects:?}");
}

/// The order is by due time, then by id: a deferred row comes after all rows with an earlier due
/// time, even if these are younger.
pub(crate) async fn a_lane_is_claimed_in_the_order_of_due_time<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(4).await;
    let mut rows = app.claim(lane.id, 4).await;
    let delays = [30, 10, 40, 20].map(Micros::from_millis);
    let deferrals = rows.iter().zip(delays).map(|(row, delay)| settlement(row, Verdict::Deferred { delay }));
    let deferred_at = app.exchange(deferrals.collect(), Vec::new()).await.now;
    rows.sort_by_key(|row| [1, 3, 0, 2].iter().position(|n| row.event.subject.as_str() == n.to_string()));

    // The order is the same whether a row is claimed when it becomes due or later.
    let mut again = Vec::new();
    while again.len() < 4 {
        again.push(app.next(lane.id).await);
    }

    assert_eq!(ids(&again), ids(&rows));
    let due: Vec<_> = again.iter().map(|row| row.due_at).collect();
    assert_eq!(due, [10, 20, 30, 40].map(|ms| deferred_at.plus(Micros::from_millis(ms))));
}

pub(crate) async fn a_claim_takes_at_most_the_quota_of_each_lane<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let mut lanes = Vec::new();
    for name in ["a", "b", "c", "d"] {
        lanes.push(app.trigger(&on_app(name, "go")).await.id);
    }
    app.go(5).await;
    let [a, b, c, d] = lanes[..] else { unreachable!("four lanes were made") };

    let claimed = app.exchange(Vec::new(), vec![quota(c, 2), quota(a, 9), quota(b, 0)]).await.claimed;

    let count = |lane| claimed.iter().filter(|row| row.trigger_id == lane).count();
    assert_eq!([a, b, c, d].map(count), [5, 0, 2, 0]);
    let by_lane: Vec<_> = claimed.chunk_by(|one, next| one.trigger_id == next.trigger_id).collect();
    assert_eq!(by_lane.len(), 2, "lane by lane: {:?}", ids(&claimed));
    for rows in by_lane {
        assert!(rows.is_sorted_by_key(|row| (row.due_at, row.id)), "{rows:#?}");
        assert_eq!(rows[0].event.subject.as_str(), "0", "the claim begins with the first row of the lane");
    }
}

pub(crate) async fn a_row_that_is_not_due_is_not_claimed<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(2).await;
    let rows = app.claim(lane.id, 1).await;
    app.settle(&rows[0], Verdict::Deferred { delay: A_MINUTE }).await;

    let claimed = app.claim(lane.id, 10).await;

    assert_eq!(claimed.len(), 1);
    assert_ne!(claimed[0].id, rows[0].id);
}

/// The floor of a lane is the last row that a claim took. A claim that does not look back finds all
/// rows beyond it, also those that went back since.
pub(crate) async fn rows_beyond_the_floor_are_claimed_without_looking_back<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(5).await;
    app.go(1).await;
    let all: Vec<_> = app.deliveries().await.iter().map(|row| row.id).collect();

    let first = app.claim_forward(lane.id, 2).await;
    assert_eq!(ids(&first), all[..2]);
    app.settle(&first[0], Verdict::Deferred { delay: Micros::ZERO }).await;
    let second = app.claim_forward(lane.id, 1).await;
    assert_eq!(ids(&second), all[2..3]);
    app.settle(&second[0], done()).await;
    let rest = app.claim_forward(lane.id, 10).await;

    assert_eq!(ids(&rest), [all[3], all[4], all[5], all[0]]);
}

pub(crate) async fn a_row_with_a_live_lease_is_not_claimed<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(3).await;
    let first = app.claim(lane.id, 2).await;

    let second = app.claim(lane.id, 10).await;

    assert_eq!((first.len(), second.len()), (2, 1));
    assert!(!ids(&first).contains(&second[0].id));
    assert_eq!(app.claim(lane.id, 10).await, []);
}

pub(crate) async fn a_claim_of_a_missing_lane_takes_nothing<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.go(1).await;
    let missing = TriggerId(lane.id.0 + 1_000_000);

    let reply = app.exchange(Vec::new(), vec![quota(missing, 5), quota(lane.id, 5)]).await;

    assert_eq!(reply.claimed.iter().map(|row| row.trigger_id).collect::<Vec<_>>(), [lane.id]);
}

pub(crate) async fn an_empty_exchange_returns_the_time<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let mut times = Vec::new();
    for _ in 0..5 {
        let reply = app.exchange(Vec::new(), Vec::new()).await;
        assert_eq!((reply.claimed, reply.fenced, reply.conflicted, reply.woken), (vec![], vec![], vec![], vec![]));
        times.push(reply.now);
    }
    assert!(times.is_sorted(), "{times:?}");
    let local = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970").as_micros() as i64;
    let difference_us = local.abs_diff(times[4].0);
    assert!(difference_us < 3_600_000_000, "the store differs by {difference_us} us from the local clock: {times:?}");
}

pub(crate) async fn a_claim_returns_the_current_trigger<S: Store>(store: Arc<S>) {
    let (app, old) = App::with_lane(&store).await;
    app.go(1).await;
    let eve = PrincipalId::new("user:eve").expect("a valid principal");
    let new = TriggerSpec { handler: Handler::Native(script_name("other")), ..old.spec.clone() };
    let changed = TriggerStore::put(&*store, &app.name, &new, &eve).await.expect("the trigger is put");

    let row = app.next(old.id).await;

    assert_eq!(row.handler, Some(new.handler));
    assert_eq!((row.runs_as, row.trigger_version), (eve, changed.version));
    assert_eq!(row.trigger_name, TriggerName::new("lane").expect("a valid name"));
}

pub(crate) async fn a_claim_returns_the_script_version<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let name = script_name("receipt");
    let lane = app.trigger(&TriggerSpec { handler: Handler::Script(name.clone()), ..on_app("lane", "go") }).await.id;
    app.go(3).await;

    let before = app.next(lane).await;
    let script = ScriptStore::put(&*store, &app.name, &name, "export default 1").await.expect("the script is put");
    let current = app.next(lane).await;
    ScriptStore::delete(&*store, &app.name, &name).await.expect("the script is deleted");
    let after = app.next(lane).await;

    assert_eq!([before, current, after].map(|row| row.script_version), [None, Some(script.version), None]);
}
