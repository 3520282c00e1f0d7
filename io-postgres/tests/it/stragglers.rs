//! Stragglers: rows that become visible after a claim has taken a later row of their lane.

use crate::database::{Database, on_sound_schema};
use crate::lane::{Lane, done, ids};
use sqlx::{Connection, Executor, Row};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_core::{DeliveryId, Micros, Timestamp};

/// As in the core: the usual look-back of a claim, and the look-back once a second.
const FLOOR_SLACK: Micros = Micros::from_millis(50);
const STRAGGLER_SLACK: Micros = Micros::from_secs(5);

/// Emits rows with earlier due times in a transaction that commits after a later row was claimed.
/// Returns their ids and due times, in order. Groups of 700 rows have the same due time.
async fn emit_late(database: &Database, lane: &Lane, rows: i32, age: &str) -> Vec<(DeliveryId, Timestamp)> {
    let (mut late, mut other) = (database.client().await, database.client().await);
    let mut late = late.begin().await.unwrap();
    let emit = "select tidegate.emit('shop', 'late') from generate_series(1, $1)";
    sqlx::query(emit).bind(rows).execute(&mut *late).await.unwrap();
    let backdate = "
        update tidegate.outbox o set due_at = clock_timestamp() - $1::text::interval + n.n / 700 * interval '1 second'
        from (select id, row_number() over (order by id) as n from tidegate.outbox where event::json ->> 1 = 'late') n
        where o.id = n.id
        returning o.id, (extract(epoch from o.due_at) * 1000000)::bigint";
    let rows = sqlx::query(backdate).bind(age).fetch_all(&mut *late).await.unwrap();
    other.execute("select tidegate.emit('shop', 'later')").await.unwrap();
    let later = lane.claim(10, Timestamp::EPOCH).await;
    assert_eq!(later.len(), 1, "the claim does not see the rows of the open transaction");
    late.commit().await.unwrap();
    rows.iter().map(|row| (DeliveryId(row.get(0)), Timestamp(row.get::<i64, _>(1)))).collect()
}

pub(crate) async fn found_by_looking_back(database: Arc<Database>) {
    let lane = Lane::open(&database).await;
    let late = emit_late(&database, &lane, 1, "40 milliseconds").await;
    let (id, due_at) = late[0];
    let after = Timestamp(due_at.0 + 1);
    assert_eq!(lane.claim(10, after).await, [], "the row is below the floor, and the claim does not look back to it");
    let found = lane.claim(10, due_at).await;
    assert_eq!(ids(&found), BTreeSet::from([id]));
    assert_eq!(lane.settle(&found).await, []);

    let late = emit_late(&database, &lane, 1, "3 seconds").await;
    assert_eq!(lane.claim(10, lane.before_now(FLOOR_SLACK).await).await, []);
    let found = lane.claim(10, lane.before_now(STRAGGLER_SLACK).await).await;
    assert_eq!(ids(&found), BTreeSet::from([late[0].0]));
    lane.store.close().await;
}

#[tokio::test]
async fn a_straggler_is_found_by_a_claim_that_looks_back_to_it() {
    on_sound_schema(found_by_looking_back).await;
}

pub(crate) async fn found_by_discovery(database: Arc<Database>) {
    let lane = Lane::open(&database).await;
    emit_late(&database, &lane, 0, "0").await;
    assert_eq!(lane.next_due().await, None, "the first discovery searches the whole lane");
    let (id, due_at) = emit_late(&database, &lane, 1, "1 hour").await[0];
    assert_eq!(lane.claim(10, lane.before_now(STRAGGLER_SLACK).await).await, []);

    let begin = Instant::now();
    let found = loop {
        if let Some(next_due) = lane.next_due().await {
            break next_due;
        }
        assert!(begin.elapsed() < Duration::from_secs(10), "no discovery has found the row");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };

    assert_eq!(found, due_at);
    assert_eq!(ids(&lane.claim(10, found).await), BTreeSet::from([id]));
    lane.store.close().await;
}

#[tokio::test]
async fn an_old_straggler_is_found_by_a_discovery() {
    on_sound_schema(found_by_discovery).await;
}

/// After the first claim, the store itself looks back as far as rows may be left.
pub(crate) async fn thousands_are_drained(database: Arc<Database>) {
    const QUOTA: u32 = 500;
    let lane = Lane::open(&database).await;
    let late = emit_late(&database, &lane, 5_000, "1 hour").await;
    let mut look_back = late[0].1;
    let mut claimed = Vec::new();
    let mut settle = Vec::new();
    loop {
        let reply = lane.exchange(settle, QUOTA, look_back, crate::lane::LEASE).await;
        assert_eq!(reply.fenced, []);
        if reply.claimed.is_empty() {
            break;
        }
        assert_eq!(reply.claimed.len(), QUOTA as usize, "after {} rows", claimed.len());
        // The other half stays claimed, so the next claims must tell these rows from free ones.
        settle = reply.claimed.iter().step_by(2).map(|row| done(row)).collect();
        claimed.extend(reply.claimed);
        look_back = reply.now.minus(FLOOR_SLACK);
    }
    let all: Vec<_> = late.iter().map(|(id, _)| *id).collect();
    assert_eq!(claimed.iter().map(|row| row.id).collect::<Vec<_>>(), all, "each row once, in order");
    lane.store.close().await;
}

#[tokio::test]
async fn thousands_of_stragglers_are_drained_by_full_claims() {
    on_sound_schema(thousands_are_drained).await;
}
