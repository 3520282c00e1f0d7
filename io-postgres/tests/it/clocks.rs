//! A clock of the server that is set back.

use crate::database::{Database, on_sound_schema};
use crate::lane::{Lane, assert_each_once, ids};
use sqlx::{Executor, PgConnection};
use std::sync::Arc;
use tidegate_core::{
    AppName, CronExpression, Delivery, DiscoverReply, Micros, PrincipalId, Reply, Request, Schedule, Settlement, Tick,
    TimeZone, Timestamp, TriggerSpec, Verdict,
};
use tidegate_ports::{DispatchStore, TriggerStore};

/// Moves all times of the store forward, which is the same as a clock that is set back by an hour.
async fn set_back_an_hour(client: &mut PgConnection) {
    let statements = "
        update tidegate.outbox set due_at = due_at + interval '1 hour';
        update tidegate.claims set
            claim = claim + (3600000000::bigint << 10), lease_until = lease_until + interval '1 hour',
            claimed_at = claimed_at + interval '1 hour', floor_due = floor_due + interval '1 hour';
        update tidegate.claims_floor set
            walked_at = walked_at + interval '1 hour', next_walk = next_walk + interval '1 hour',
            lease_until = lease_until + interval '1 hour';
        update tidegate.triggers set next_tick = next_tick + interval '1 hour';
        update tidegate.lanes set
            oldest_claim = 0, floor_due = floor_due + interval '1 hour', written_at = written_at + interval '1 hour'";
    client.execute(statements).await.unwrap();
}

/// One row is claimed. Then the clock is set back by an hour, and four rows are emitted.
pub(crate) async fn set_back(database: Arc<Database>) {
    let lane = Lane::open(&database).await;
    let mut client = database.client().await;
    client.execute("select tidegate.emit('shop', 'x')").await.unwrap();
    let mut claimed = lane.claim(1, Timestamp::EPOCH).await;
    set_back_an_hour(&mut client).await;
    client.execute("select tidegate.emit('shop', 'x') from generate_series(1, 4)").await.unwrap();

    for _ in 0..2 {
        claimed.extend(lane.claim(2, lane.before_now(Micros::from_secs(5)).await).await);
    }

    assert_eq!(ids(&claimed).len(), 5);
    assert_each_once(claimed.into_iter().map(|row| row.id).collect(), 5);
    lane.store.close().await;
}

#[tokio::test]
async fn no_row_is_claimed_twice_after_the_clock_is_set_back() {
    on_sound_schema(set_back).await;
}

/// The schedules of a discovery.
async fn discover(lane: &Lane) -> DiscoverReply {
    match lane.store.call(Request::Discover).await.unwrap() {
        Reply::Discover(reply) => reply,
        other => panic!("{other:?}"),
    }
}

/// A cron trigger whose next tick is known.
async fn tick_every_minute(lane: &Lane) {
    let spec = serde_json::json!({
        "name": "cron", "match": {"source": "cron", "expression": "* * * * *"}, "handler": {"native": "n"},
    });
    let spec: TriggerSpec = serde_json::from_value(spec).unwrap();
    let (app, admin) = (AppName::new("shop").unwrap(), PrincipalId::new("admin").unwrap());
    lane.store.put(&app, &spec, &admin).await.unwrap();
    let DiscoverReply { now, schedules, .. } = discover(lane).await;
    let trigger = schedules[0].trigger;
    let next = CronExpression::new("* * * * *").unwrap().next_after(now, TimeZone::UTC).unwrap();
    lane.store.call(Request::Tick { ticks: vec![Tick { trigger, expected: None, next }] }).await.unwrap();
    assert_eq!(discover(lane).await.schedules, []);
}

fn released(row: &Delivery, delay: Micros) -> Settlement {
    Settlement { claim: row.claim(), verdict: Verdict::Deferred { delay } }
}

/// Before the clock is set back, one row waits for a claim, one is deferred, one is held by a claim
/// with a lease of a minute, and a schedule has a next tick.
pub(crate) async fn waits_no_longer(database: Arc<Database>) {
    let lane = Lane::open(&database).await;
    let mut client = database.client().await;
    tick_every_minute(&lane).await;
    client.execute("select tidegate.emit('shop', 'x') from generate_series(1, 2)").await.unwrap();
    let minute = Micros::from_secs(60);
    let held = lane.exchange(Vec::new(), 2, Timestamp::EPOCH, minute).await.claimed;
    lane.exchange(vec![released(&held[1], minute)], 0, Timestamp::EPOCH, minute).await;
    client.execute("select tidegate.emit('shop', 'x')").await.unwrap();

    set_back_an_hour(&mut client).await;

    let DiscoverReply { now, lanes, schedules, .. } = discover(&lane).await;
    let soon = now.plus(Micros::from_secs(15));
    assert!(lanes.iter().all(|found| found.next_due < soon), "the row is due: {lanes:?}, now {now}");
    assert!(matches!(schedules[..], [Schedule { next_tick: None, .. }]), "the schedule begins again: {schedules:?}");
    let ahead = "select max(due_at) < clock_timestamp() + interval '75 seconds' from tidegate.outbox";
    assert!(sqlx::query_scalar::<_, bool>(ahead).fetch_one(&mut client).await.unwrap(), "the deferred row is due");
    let ahead = "select max(lease_until) < clock_timestamp() + interval '75 seconds' from tidegate.claims";
    assert!(sqlx::query_scalar::<_, bool>(ahead).fetch_one(&mut client).await.unwrap(), "the lease keeps its length");
    lane.store.close().await;
}

#[tokio::test]
async fn nothing_waits_longer_after_the_clock_is_set_back() {
    on_sound_schema(waits_no_longer).await;
}
