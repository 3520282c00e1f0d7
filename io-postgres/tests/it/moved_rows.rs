//! Claims list the places of their rows. A row is found by its id if its place has changed.

use crate::database::{Database, on_sound_schema};
use crate::lane::{LEASE, Lane, assert_each_once, done, ids};
use sqlx::{Executor, PgConnection};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tidegate_core::{Delivery, DeliveryId, Micros, Settlement, Timestamp, Verdict};

async fn emit(client: &mut PgConnection, rows: i32) {
    let emit = "select tidegate.emit('shop', 'x') from generate_series(1, $1)";
    sqlx::query(emit).bind(rows).execute(client).await.unwrap();
}

async fn rows_left(client: &mut PgConnection) -> BTreeSet<DeliveryId> {
    let rows: Vec<i64> = sqlx::query_scalar("select id from tidegate.outbox").fetch_all(client).await.unwrap();
    rows.into_iter().map(DeliveryId).collect()
}

/// The place of a claimed row at the time of its claim.
async fn place(client: &mut PgConnection, row: &Delivery) -> String {
    let place = "select c.places[array_position(c.ids, $1)]::text from tidegate.claims c where c.claim = $2";
    sqlx::query_scalar(place).bind(row.id.0).bind(row.lease.0).fetch_one(client).await.unwrap()
}

/// Rewrites the table until the place of a row is as wanted. A rewrite keeps dead rows that a
/// transaction in the background may still see.
async fn rewrite_until(
    client: &mut PgConnection,
    rewrite: &'static str,
    row: &Delivery,
    is_wanted: impl Fn(&String) -> bool,
) {
    let place = "select ctid::text from tidegate.outbox where id = $1";
    for _ in 0..200 {
        client.execute(rewrite).await.unwrap();
        let place = sqlx::query_scalar(place).bind(row.id.0).fetch_one(&mut *client).await.unwrap();
        if is_wanted(&place) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no rewrite moves the row {} as wanted", row.id);
}

/// Rewrites the table between a claim and its settlement. The first rows of the table are gone, so
/// each place then has another row.
pub(crate) async fn rewritten_between(database: Arc<Database>) {
    let lane = Lane::open(&database).await;
    let mut client = database.client().await;
    for rewrite in ["vacuum full tidegate.outbox", "cluster tidegate.outbox using outbox_pkey"] {
        emit(&mut client, 200).await;
        let claimed = lane.claim(100, Timestamp::EPOCH).await;
        let (first, rest) = claimed.split_at(50);
        assert_eq!(lane.settle(first).await, []);
        let old_place = place(&mut client, &rest[0]).await;
        rewrite_until(&mut client, rewrite, &rest[0], |place| *place != old_place).await;
        let mut left = rows_left(&mut client).await;
        assert_eq!(left.len(), 150);

        assert_eq!(lane.settle(&rest[..25]).await, [], "{rewrite}");

        left.retain(|id| !ids(&rest[..25]).contains(id));
        assert_eq!(rows_left(&mut client).await, left, "{rewrite}");
        let others = lane.claim(500, Timestamp::EPOCH).await;
        assert_eq!(others.len(), 100);
        client.execute(rewrite).await.unwrap();
        let settle: Vec<Arc<Delivery>> = rest[25..].iter().chain(&others).cloned().collect();
        assert_eq!(lane.settle(&settle).await, [], "{rewrite}");
        assert!(rows_left(&mut client).await.is_empty());
    }
    lane.store.close().await;
}

#[tokio::test]
async fn settlements_find_the_rows_of_a_rewritten_table() {
    on_sound_schema(rewritten_between).await;
}

/// A row goes back, and a new row gets the place where its claim still expects it.
pub(crate) async fn reused_place(database: Arc<Database>) {
    let lane = Lane::open(&database).await;
    let mut client = database.client().await;
    emit(&mut client, 10).await;
    let claimed = lane.claim(10, Timestamp::EPOCH).await;
    let (deferred, place) = (&claimed[4], place(&mut client, &claimed[4]).await);
    let verdict = Verdict::Deferred { delay: Micros::from_secs(3_600) };
    let settle = vec![Settlement { claim: deferred.claim(), verdict }];
    assert_eq!(lane.exchange(settle, 0, Timestamp::EPOCH, LEASE).await.fenced, []);
    let mut tries = 0;
    let at_place = "select id from tidegate.outbox where ctid = $1::text::tid";
    let reused: i64 = loop {
        client.execute("vacuum tidegate.outbox").await.unwrap();
        emit(&mut client, 1).await;
        if let Some(id) = sqlx::query_scalar(at_place).bind(&place).fetch_optional(&mut client).await.unwrap() {
            break id;
        }
        tries += 1;
        assert!(tries < 100, "vacuum does not free the place {place}");
    };
    let left = rows_left(&mut client).await;
    assert!(left.contains(&DeliveryId(reused)) && !ids(&claimed).contains(&DeliveryId(reused)));

    assert_eq!(lane.settle(std::slice::from_ref(deferred)).await, [deferred.claim()]);

    assert_eq!(rows_left(&mut client).await, left);
    lane.store.close().await;
}

#[tokio::test]
async fn a_settlement_spares_the_row_that_has_the_place_now() {
    on_sound_schema(reused_place).await;
}

/// A row goes back and moves. Then the table is rewritten, and the row is at the place where its
/// old claim expects it, with a new turn.
pub(crate) async fn back_at_its_place(database: Arc<Database>) {
    let lane = Lane::open(&database).await;
    let mut client = database.client().await;
    emit(&mut client, 10).await;
    let claimed = lane.claim(10, Timestamp::EPOCH).await;
    let (last, old_place) = (&claimed[9], place(&mut client, &claimed[9]).await);
    let verdict = Verdict::Deferred { delay: Micros::from_secs(3_600) };
    let settle = vec![Settlement { claim: last.claim(), verdict }];
    assert_eq!(lane.exchange(settle, 0, Timestamp::EPOCH, LEASE).await.fenced, []);
    rewrite_until(&mut client, "vacuum full tidegate.outbox", last, |place| *place == old_place).await;

    assert_eq!(lane.settle(std::slice::from_ref(last)).await, [last.claim()]);

    assert_eq!(rows_left(&mut client).await, ids(&claimed));
    lane.store.close().await;
}

#[tokio::test]
async fn a_settlement_of_an_old_turn_is_fenced_at_the_same_place() {
    on_sound_schema(back_at_its_place).await;
}

/// Drains the lane, and returns the settled rows.
async fn drain(lane: Lane, emitting: Arc<AtomicBool>) -> Vec<DeliveryId> {
    let (mut settled, mut claimed): (Vec<DeliveryId>, Vec<Arc<Delivery>>) = (Vec::new(), Vec::new());
    loop {
        let is_last = !emitting.load(Ordering::SeqCst);
        let reply = lane.exchange(claimed.iter().map(|row| done(row)).collect(), 100, Timestamp::EPOCH, LEASE).await;
        assert_eq!(reply.fenced, []);
        settled.extend(ids(&claimed));
        claimed = reply.claimed;
        if claimed.is_empty() && is_last {
            return settled;
        }
    }
}

/// Two daemons drain the lane while its table is rewritten and while new rows get the places of
/// settled ones.
pub(crate) async fn rewritten_during_a_drain(database: Arc<Database>) {
    let lane = Lane::open(&database).await;
    let mut client = database.client().await;
    emit(&mut client, 12_000).await;
    let emitting = Arc::new(AtomicBool::new(true));
    let other = lane.of_another_daemon(&database);
    let drains: Vec<_> = [&lane, &lane, &other, &other]
        .map(|lane| tokio::spawn(drain(lane.clone(), Arc::clone(&emitting))))
        .into_iter()
        .collect();
    let rewrites =
        ["vacuum full tidegate.outbox", "vacuum tidegate.outbox", "cluster tidegate.outbox using outbox_pkey"];
    for rewrite in rewrites.into_iter().cycle().take(24) {
        client.execute(rewrite).await.unwrap();
        emit(&mut client, 333).await;
        client.execute("vacuum tidegate.claims").await.unwrap();
    }
    emitting.store(false, Ordering::SeqCst);
    let mut settled = Vec::new();
    for drain in drains {
        settled.extend(drain.await.expect("no exchange has failed"));
    }
    let all: i64 =
        sqlx::query_scalar("select last_value from tidegate.outbox_id_seq").fetch_one(&mut client).await.unwrap();
    assert_each_once(settled, all);
    assert!(rows_left(&mut client).await.is_empty());
    lane.store.close().await;
    other.store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_daemons_drain_a_table_that_is_rewritten() {
    on_sound_schema(rewritten_during_a_drain).await;
}
