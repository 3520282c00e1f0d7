//! What the claim costs, by what does not depend on the machine: HOT updates and plans.

use crate::database::Database;
use sqlx::{Executor, PgConnection};
use tidegate_core::{
    AppName, Claim, Effects, LaneQuota, Micros, PrincipalId, Reply, Request, Settlement, Timestamp, TriggerId,
    TriggerSpec, Verdict,
};
use tidegate_driver::{AppStore, Deployment, DispatchStore, TriggerStore};
use tidegate_io_postgres::PgStore;

async fn with_rows(store: &PgStore, client: &mut PgConnection, rows: i32) -> TriggerId {
    let spec = serde_json::json!({
        "name": "t", "match": {"source": "app", "type": "*"}, "handler": {"native": "n"},
    });
    let spec: TriggerSpec = serde_json::from_value(spec).unwrap();
    let app = AppName::new("shop").unwrap();
    let deployment = Deployment { scripts: vec![], triggers: vec![spec] };
    store.deploy(&app, &deployment, &PrincipalId::new("admin").unwrap()).await.unwrap();
    let emit = "select tidegate.emit('shop', 'x', data => jsonb_build_object('n', n)) from generate_series(1, $1) n";
    sqlx::query(emit).bind(rows).execute(&mut *client).await.unwrap();
    client.execute("analyze tidegate.outbox").await.unwrap();
    TriggerStore::list(store, &app).await.unwrap()[0].id
}

async fn exchange(store: &PgStore, settle: Vec<Settlement>, trigger: TriggerId, quota: u32) -> Vec<Claim> {
    let claim = vec![LaneQuota { trigger, quota, floor: Timestamp::EPOCH }];
    let request = Request::Exchange { settle, claim, lease_for: Micros::from_secs(60) };
    let Reply::Exchange { claimed, fenced, .. } = store.call(request).await.unwrap() else { panic!("another reply") };
    assert_eq!(fenced, []);
    claimed.iter().map(|delivery| Claim { delivery: delivery.id, lease: delivery.lease }).collect()
}

/// Every claim finds room for its version in the row's own page. Renewals do too, but only if what claims left behind can be
/// pruned, and a long transaction of another test, even in another database, may forbid that.
#[tokio::test]
async fn leases_are_hot_updates() {
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
    // Statistics are flushed when a session ends, or a little later.
    let (mut updates, mut hot) = (0_i64, 0_i64);
    for _ in 0..100 {
        (updates, hot) =
            sqlx::query_as("select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relname = 'outbox'")
                .fetch_one(&mut client)
                .await
                .unwrap();
        if updates >= 5_000 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(updates, 5_000, "each row was leased once");
    assert!(hot * 100 >= updates * 95, "{hot} of {updates} were HOT");
    database.remove().await;
}

#[tokio::test]
async fn the_claim_walks_the_index_and_sorts_nothing() {
    let (database, store) = Database::with_store().await;
    let mut client = database.client().await;
    let trigger = with_rows(&store, &mut client, 20_000).await;
    let plan: Vec<String> = sqlx::query_scalar(
        "explain (costs off) select l.id from unnest($1::bigint[], $2::int[]) a (trigger_id, quota)
         cross join lateral (
             select o.id from tidegate.outbox o
             where o.trigger_id = a.trigger_id and o.due_at >= 'epoch' and o.due_at <= clock_timestamp()
               and o.lease_until <= clock_timestamp()
             order by o.due_at, o.id limit a.quota for update skip locked) l",
    )
    .bind(vec![trigger.0])
    .bind(vec![100])
    .fetch_all(&mut client)
    .await
    .unwrap();
    let plan = plan.join("\n");
    assert!(plan.contains("Index Scan using outbox_lanes"), "{plan}");
    assert!(!plan.contains("Sort") && !plan.contains("Seq Scan on outbox"), "{plan}");
    store.close().await;
    database.remove().await;
}
