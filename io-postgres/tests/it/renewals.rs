//! A renewal and a claim of the same lane at the same time.

use crate::database::Database;
use sqlx::{Connection, Executor};
use std::sync::Arc;
use tidegate_core::{
    AppName, Delivery, ExchangeReply, LaneQuota, Micros, PrincipalId, Reply, Request, Timestamp, TriggerId,
};
use tidegate_io_postgres::PgStore;
use tidegate_ports::{AppStore, Deployment, DispatchStore, TriggerStore};

/// Deploys the app `shop` with a trigger that executes one row at a time.
async fn with_limit_of_one(store: &PgStore) -> TriggerId {
    let spec = serde_json::json!({
        "name": "one", "match": {"source": "app", "type": "*"}, "handler": {"native": "n"}, "max_concurrency": 1,
    });
    let app = AppName::new("shop").unwrap();
    let deployment =
        Deployment { scripts: vec![], triggers: vec![serde_json::from_value(spec).unwrap()], renames: Vec::new() };
    store.deploy(&app, &deployment, &PrincipalId::new("admin").unwrap()).await.unwrap();
    TriggerStore::list(store, &app).await.unwrap()[0].id
}

async fn claim(store: &PgStore, trigger: TriggerId, lease_for: Micros) -> Vec<Arc<Delivery>> {
    let claim = vec![LaneQuota { trigger, quota: 5, starts: 5, look_back: Timestamp::EPOCH }];
    let request = Request::Exchange { settle: vec![], claim, suspect: None, lease_for, claim_bytes_max: u64::MAX };
    let Reply::Exchange(ExchangeReply { claimed, .. }) = store.call(request).await.unwrap() else {
        panic!("another reply")
    };
    claimed
}

/// A renewal that holds the lock of its claim may have read the clock before the lease expired.
/// Then it extends the lease, so no other claim may take the slot.
#[tokio::test]
async fn an_expired_lease_keeps_its_slot_while_its_claim_is_locked() {
    let (database, store) = Database::with_store().await;
    let mut client = database.client().await;
    let trigger = with_limit_of_one(&store).await;
    client.execute("select tidegate.emit('shop', 'x', data => '1') from generate_series(1, 2)").await.unwrap();
    let expired = claim(&store, trigger, Micros(1)).await;
    assert_eq!(expired.len(), 1);
    let mut renewal = client.begin().await.unwrap();
    let lock = "select from tidegate.claims where claim = $1 for update";
    sqlx::query(lock).bind(expired[0].lease.0).execute(&mut *renewal).await.unwrap();

    assert_eq!(claim(&store, trigger, Micros::from_secs(60)).await, []);

    renewal.rollback().await.unwrap();
    let claimed = claim(&store, trigger, Micros::from_secs(60)).await;
    assert_eq!(claimed.len(), 1);
    assert_ne!(claimed[0].id, expired[0].id);
    store.close().await;
    database.remove().await;
}
