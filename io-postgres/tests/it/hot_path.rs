//! The costs of a claim, in units that do not depend on the machine: rows of the outbox that are
//! updated, and rows that are read.

use crate::database::{Database, with_one_trigger};
use sqlx::{Executor, PgConnection};
use tidegate_core::{
    Attempt, Claim, Collection, DeadReason, DeliveryId, Effects, ExchangeReply, ExecError, Json, Key, KvWrite,
    LaneQuota, Lease, Micros, Reply, Request, Settlement, Timestamp, TriggerId, Verdict,
};
use tidegate_io_postgres::PgStore;
use tidegate_ports::DispatchStore;

async fn with_rows(store: &PgStore, client: &mut PgConnection, rows: i32) -> TriggerId {
    let trigger = with_one_trigger(store).await;
    let emit = "select tidegate.emit('shop', 'x', data => jsonb_build_object('n', n)) from generate_series(1, $1) n";
    sqlx::query(emit).bind(rows).execute(&mut *client).await.unwrap();
    client.execute("analyze tidegate.outbox").await.unwrap();
    trigger
}

async fn exchange(store: &PgStore, settle: Vec<Settlement>, trigger: TriggerId, quota: u32) -> Vec<Claim> {
    let claim = vec![LaneQuota { trigger, quota, starts: quota, look_back: Timestamp::EPOCH }];
    let request =
        Request::Exchange { settle, claim, suspect: None, lease_for: Micros::from_secs(60), claim_bytes_max: u64::MAX };
    let Reply::Exchange(ExchangeReply { claimed, fenced, .. }) = store.call(request).await.unwrap() else {
        panic!("another reply")
    };
    assert_eq!(fenced, []);
    claimed.iter().map(|delivery| Claim { delivery: delivery.id, lease: delivery.lease }).collect()
}

/// A claim writes the row of the claim, and no row of the outbox.
#[tokio::test]
async fn a_claim_does_not_update_the_outbox() {
    let (database, store) = Database::with_store().await;
    let mut client = database.client().await;
    let trigger = with_rows(&store, &mut client, 5_000).await;
    let mut settle = Vec::new();
    loop {
        let claims = exchange(&store, settle, trigger, 500).await;
        if claims.is_empty() {
            break;
        }
        let done = |claim| Settlement { claim, verdict: Verdict::Done { effects: Effects::default() } };
        settle = claims.into_iter().map(done).collect();
    }
    store.close().await;
    // Postgres flushes the statistics when the session ends, or shortly after.
    let (mut updates, mut deletes) = (0_i64, 0_i64);
    for _ in 0..100 {
        (updates, deletes) =
            sqlx::query_as("select n_tup_upd, n_tup_del from pg_stat_user_tables where relname = 'outbox'")
                .fetch_one(&mut client)
                .await
                .unwrap();
        if deletes >= 5_000 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!((updates, deletes), (0, 5_000));
    database.remove().await;
}

/// The rows of `outbox` that were read so far, by scans of the table and of its indexes. Postgres
/// flushes the statistics when a session ends.
async fn rows_read(client: &mut PgConnection) -> i64 {
    let read = "select (select sum(seq_tup_read) from pg_stat_user_tables where relname = 'outbox')::bigint
                     + (select sum(idx_tup_read) from pg_stat_user_indexes where relname = 'outbox')::bigint";
    sqlx::query_scalar(read).fetch_one(client).await.unwrap()
}

/// Plans are made once per session. In this test they are made while the tables are empty and
/// analyzed; then a backlog arrives. Each request must still begin at the rows that it names, walk
/// an index, and read few other rows.
#[tokio::test]
async fn the_rows_that_a_request_reads_do_not_grow_with_the_backlog() {
    const BACKLOG: i32 = 20_000;
    let (database, migrating) = Database::with_store().await;
    migrating.close().await;
    let store = database.store_with(1);
    let mut client = database.client().await;
    let trigger = with_rows(&store, &mut client, 0).await;
    client.execute("vacuum analyze tidegate.outbox").await.unwrap();
    let unknown = Claim { delivery: DeliveryId(i64::MAX), lease: Lease(1) };
    let all_kinds = |claims: &[Claim]| -> Vec<Settlement> {
        claims
            .iter()
            .zip(verdicts().into_iter().cycle())
            .map(|(&claim, verdict)| Settlement { claim, verdict })
            .collect()
    };
    for _ in 0..8 {
        request_all(&store, all_kinds(&[unknown; 12]), &[unknown], trigger).await;
    }
    let emit = "select tidegate.emit('shop', 'x') from generate_series(1, $1)";
    sqlx::query(emit).bind(BACKLOG).execute(&mut client).await.unwrap();

    let claims = request_all(&store, vec![], &[], trigger).await;
    let held: Vec<Claim> = claims[..24].to_vec();
    request_all(&store, all_kinds(&claims[24..72]), &held, trigger).await;
    let done = |&claim: &Claim| Settlement { claim, verdict: Verdict::Done { effects: Effects::default() } };
    request_all(&store, claims[72..].iter().map(done).collect(), &held, trigger).await;

    store.close().await;
    let mut read = rows_read(&mut client).await;
    for _ in 0..20 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        read = read.max(rows_read(&mut client).await);
    }
    assert!(read > 300, "only {read} rows were read: the statistics are not flushed");
    assert!(read < 3_000, "{read} rows were read to claim 300 and settle 76, with {BACKLOG} waiting");
    database.remove().await;
}

/// Runs an exchange, a renewal and a discovery.
async fn request_all(store: &PgStore, settle: Vec<Settlement>, held: &[Claim], trigger: TriggerId) -> Vec<Claim> {
    let claim = vec![LaneQuota { trigger, quota: 100, starts: 100, look_back: Timestamp::EPOCH }];
    let request =
        Request::Exchange { settle, claim, suspect: None, lease_for: Micros::from_secs(60), claim_bytes_max: u64::MAX };
    let Reply::Exchange(ExchangeReply { claimed, .. }) = store.call(request).await.unwrap() else {
        panic!("another reply")
    };
    store.call(Request::Renew { held: held.to_vec(), lease_for: Micros::from_secs(60) }).await.unwrap();
    store.call(Request::Discover).await.unwrap();
    claimed.iter().map(|delivery| Claim { delivery: delivery.id, lease: delivery.lease }).collect()
}

/// One verdict of each kind that an async delivery can get.
fn verdicts() -> Vec<Verdict> {
    let failed = Attempt {
        attempt: 1,
        started_at: Timestamp::EPOCH,
        duration: None,
        error: ExecError::Internal,
        message: "it broke".to_owned(),
    };
    let write = KvWrite {
        collection: Collection::new("c").unwrap(),
        key: Key::new("k").unwrap(),
        value: Some(Json::parse("1").unwrap()),
    };
    let delay = Micros::from_secs(60);
    vec![
        Verdict::Done { effects: Effects::default() },
        Verdict::Done { effects: Effects { writes: vec![write], ..Effects::default() } },
        Verdict::Retry { delay, failed: failed.clone() },
        Verdict::Deferred { delay },
        Verdict::Dropped,
        Verdict::Dead {
            reason: DeadReason::Permanent,
            attempts: 1,
            fingerprint: failed.fingerprint(),
            failed: Some(failed),
            disable_trigger: false,
        },
    ]
}
