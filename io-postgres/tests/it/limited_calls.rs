//! The slots of sync calls to a trigger with a `max_concurrency`.

use crate::database::Database;
use sqlx::PgConnection;
use tidegate_core::{
    AppName, BeginCallsReply, Cause, Claim, Effects, EventType, ExchangeReply, InboxId, Incarnation, Json, Micros,
    NewEvent, PrincipalId, Reply, Request, Settlement, Subject, SyncCall, SyncOutcome, SyncTarget, TriggerId, Verdict,
};
use tidegate_io_postgres::PgStore;
use tidegate_ports::{AppStore, Deployment, DispatchStore, TriggerStore};

fn admin() -> PrincipalId {
    PrincipalId::new("admin").unwrap()
}

/// Deploys the app `shop` with a trigger that executes one call at a time.
async fn with_limit_of_one(store: &PgStore) -> TriggerId {
    let spec = serde_json::json!({
        "name": "one", "match": {"source": "http", "method": "GET", "path": "/"}, "handler": {"native": "n"},
        "max_concurrency": 1,
    });
    let app = AppName::new("shop").unwrap();
    let deployment =
        Deployment { scripts: vec![], triggers: vec![serde_json::from_value(spec).unwrap()], renames: Vec::new() };
    store.deploy(&app, &deployment, &admin()).await.unwrap();
    TriggerStore::list(store, &app).await.unwrap()[0].id
}

/// Begins a call and settles it as executed. Its reply is not delivered.
async fn execute(store: &PgStore, trigger: TriggerId, seq: u64) -> Claim {
    let event = NewEvent {
        event_type: EventType::new("http.request").unwrap(),
        subject: Subject::new("GET /").unwrap(),
        data: Json::null(),
    };
    let call = SyncCall {
        inbox: InboxId { incarnation: Incarnation(uuid::Uuid::from_u128(7)), seq },
        target: SyncTarget::Trigger { app: AppName::new("shop").unwrap(), id: trigger },
        event,
        cause: Cause::outside(admin()),
        idempotency_key: None,
    };
    let begin = Request::BeginCalls { calls: vec![call], lease_for: Micros::from_secs(60) };
    let Reply::BeginCalls(BeginCallsReply { deliveries: begun, refused, .. }) = store.call(begin).await.unwrap() else {
        panic!("another reply")
    };
    assert_eq!((begun.len(), refused), (1, vec![]), "call {seq}");
    let claim = begun[0].claim();
    let outcome = SyncOutcome { status: 204, error: None, message: None };
    settle(store, claim, Verdict::Executed { effects: Effects::default(), outcome, reply: None }).await;
    claim
}

async fn settle(store: &PgStore, claim: Claim, verdict: Verdict) {
    let settle = vec![Settlement { claim, verdict }];
    let exchange = Request::Exchange {
        settle,
        claim: vec![],
        suspect: None,
        lease_for: Micros::from_secs(60),
        claim_bytes_max: u64::MAX,
    };
    let Reply::Exchange(ExchangeReply { fenced, .. }) = store.call(exchange).await.unwrap() else {
        panic!("another reply")
    };
    assert_eq!(fenced, []);
}

/// The number of claims, and the number of free slots of the only lane.
async fn counts(client: &mut PgConnection) -> (i64, i32) {
    let counts = "select (select count(*) from tidegate.claims), tidegate.free_slots(clock_timestamp(), trigger_id, 1)
        from tidegate.lanes";
    sqlx::query_as(counts).fetch_one(client).await.unwrap()
}

/// Each call counts the slots of its lane. If ended claims stayed, each call would be slower than
/// the call before it.
#[tokio::test]
async fn an_executed_call_frees_its_slot_and_a_replied_call_ends_its_claim() {
    let (database, store) = Database::with_store().await;
    let mut client = database.client().await;
    let trigger = with_limit_of_one(&store).await;
    for seq in 0..20 {
        let claim = execute(&store, trigger, seq).await;
        if seq % 2 == 0 {
            settle(&store, claim, Verdict::Replied).await;
        }
    }
    assert_eq!(counts(&mut client).await, (10, 1));
    store.close().await;
    database.remove().await;
}
