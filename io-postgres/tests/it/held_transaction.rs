//! A transaction that stays open keeps all dead rows and all dead index entries in the tables. The
//! floors of lanes and of claims spare the requests a walk over them.

use crate::database::{Database, on_sound_schema};
use crate::lane::{LEASE, Lane, done};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::{Delivery, Micros};

/// The most pages that a request reads, whatever the number of dead rows. A walk over 10,000 dead
/// rows reads more than 200 pages.
const PAGES_MAX: i64 = 150;
/// A discovery walks over all rows that became due since then.
const DISCOVERY_SLACK: Duration = Duration::from_secs(5);

/// Emits, claims and settles rows in batches, as a busy daemon does. The last batch stays claimed.
async fn deliver(
    lane: &Lane,
    client: &mut PgConnection,
    batches: u32,
    batch: u32,
    mut claimed: Vec<Arc<Delivery>>,
) -> Vec<Arc<Delivery>> {
    let emit = format!(
        "select * from tidegate.emit_events('shop', array_fill('x'::text, '{{{batch}}}'),
            array_fill(''::text, '{{{batch}}}'), array_fill('1'::text, '{{{batch}}}'),
            row('admin', null, null, 0, null)::tidegate.cause, null, null)"
    );
    let mut now = lane.before_now(Micros::ZERO).await;
    for _ in 0..batches {
        client.execute(AssertSqlSafe(emit.as_str())).await.unwrap();
        let settle = claimed.iter().map(|row| done(row)).collect();
        let reply = lane.exchange(settle, batch, now.minus(Micros::from_millis(50)), Micros::from_secs(1)).await;
        assert_eq!((reply.fenced, reply.claimed.len()), (vec![], batch as usize));
        (claimed, now) = (reply.claimed, reply.now);
        lane.renew(&claimed, Micros::from_secs(2)).await;
        lane.next_due().await;
    }
    lane.renew(&claimed, LEASE).await;
    claimed
}

/// The pages that a statement and its nested statements read. Its changes are rolled back.
async fn pages_read(client: &mut PgConnection, statement: &str) -> i64 {
    let mut transaction = client.begin().await.unwrap();
    let explain = AssertSqlSafe(format!("explain (analyze, buffers, timing off, format json) {statement}"));
    let plan: Value = sqlx::query_scalar(explain).fetch_one(&mut *transaction).await.unwrap();
    transaction.rollback().await.unwrap();
    let count = |field: &str| plan[0]["Plan"][field].as_i64().unwrap();
    count("Shared Hit Blocks") + count("Shared Read Blocks")
}

/// The pages that an exchange, a renewal and a discovery read, with one claim of the lane alive.
async fn pages_of_requests(database: &Database, lane: &Lane, claimed: &Delivery) -> Vec<(&'static str, i64)> {
    tokio::time::sleep(DISCOVERY_SLACK).await;
    let mut client = database.client().await;
    let exchange = lane.claim_statement(10);
    let renewal = format!("select * from tidegate.renew('{{{}}}', '{{{}}}', 600000000)", claimed.id, claimed.lease);
    let requests = [
        ("exchange", exchange.as_str()),
        ("renewal", renewal.as_str()),
        ("discovery", "select * from tidegate.discover()"),
    ];
    let mut pages = Vec::new();
    for (name, request) in requests {
        // The first call reads the catalog and makes plans. A discovery that searches whole lanes
        // makes the next ones spare them for some time.
        client.execute(AssertSqlSafe(request)).await.unwrap();
        pages.push((name, pages_read(&mut client, request).await));
    }
    pages
}

pub(crate) async fn costs_stay_bounded(database: Arc<Database>) {
    let lane = Lane::open(&database).await;
    let mut client = database.client().await;
    let mut holder = database.client().await;
    holder.execute("begin isolation level repeatable read; select count(*) from pg_class").await.unwrap();
    let claimed = deliver(&lane, &mut client, 16, 500, Vec::new()).await;
    let claimed = deliver(&lane, &mut client, 200, 10, claimed).await;
    let early = pages_of_requests(&database, &lane, &claimed[0]).await;
    let claimed = deliver(&lane, &mut client, 36, 500, claimed).await;
    let claimed = deliver(&lane, &mut client, 200, 10, claimed).await;
    let late = pages_of_requests(&database, &lane, &claimed[0]).await;
    holder.execute("rollback").await.unwrap();
    for (&(name, early), &(_, late)) in early.iter().zip(&late) {
        eprintln!("{name}: {early} pages, then {late}");
        assert!(late < PAGES_MAX, "a {name} reads {late} pages beside 30,000 dead rows");
        assert!(late < early + 50, "a {name} reads {early} pages beside 10,000 dead rows, and {late} beside 30,000");
    }
    assert_eq!(lane.settle(&claimed).await, []);
    lane.store.close().await;
}

#[tokio::test]
async fn costs_stay_bounded_beside_a_held_transaction() {
    on_sound_schema(costs_stay_bounded).await;
}
