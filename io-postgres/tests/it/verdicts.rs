//! Verdicts as the schema knows them.

use crate::database::{Database, with_one_trigger};
use sqlx::Row;
use tidegate_core::{LaneQuota, Micros, Request, Timestamp};
use tidegate_ports::DispatchStore;

/// A newer daemon may know more verdicts than the schema. An unknown verdict must not delete its
/// row.
#[tokio::test]
async fn an_unknown_verdict_is_an_error_and_keeps_the_row() {
    let (database, store) = Database::with_store().await;
    let trigger = with_one_trigger(&store).await;
    let mut client = database.client().await;
    sqlx::query("select tidegate.emit('shop', 'x')").execute(&mut client).await.unwrap();
    let claim = vec![LaneQuota { trigger, quota: 1, starts: 1, look_back: Timestamp::EPOCH }];
    store
        .call(Request::Exchange {
            settle: vec![],
            claim,
            suspect: None,
            lease_for: Micros::from_secs(60),
            claim_bytes_max: u64::MAX,
        })
        .await
        .unwrap();

    let settle = "select tidegate.settle(
        p_now => now(),
        p_settlement => jsonb_build_object('id', ids[1], 'lease', claim, 'verdict', '{\"kind\": \"unheard\"}'::jsonb))
        from tidegate.claims";
    let error = sqlx::query(settle).execute(&mut client).await.unwrap_err();
    assert!(error.to_string().contains("case not found"), "{error}");
    let rows = sqlx::query("select count(*) from tidegate.outbox").fetch_one(&mut client).await.unwrap();
    assert_eq!(rows.get::<i64, _>(0), 1);
    drop(client);
    store.close().await;
    database.remove().await;
}
