//! Sync calls: their rows are written already leased to who asks.

use crate::dispatch::micros;
use crate::lane::Lane;
use crate::{rows, sql};
use serde_json::{Value, json};
use sqlx::{PgConnection, Row};
use tidegate_core::{
    Claim, DeliveryId, Lease, Micros, Refusal, Reply, Standing, SyncCall, SyncReply, SyncTarget, Timestamp, TriggerId,
};

pub(crate) async fn begin_calls(
    connection: &mut PgConnection,
    calls: &[SyncCall],
    lease_for: Micros,
) -> Result<Reply, sqlx::Error> {
    let calls: Vec<Value> = calls.iter().map(to_json).collect();
    let found = sqlx::query(sql::begin_calls)
        .bind(sqlx::types::Json(calls))
        .bind(micros(lease_for))
        .fetch_all(connection)
        .await?;
    let mut now = Timestamp::EPOCH;
    let (mut begun, mut refused, mut repeated) = (vec![], vec![], vec![]);
    for row in &found {
        let refusal = match row.try_get("kind")? {
            "now" => {
                now = rows::time(row, "now")?;
                continue;
            }
            "gone" => Refusal::Gone,
            "paused" => Refusal::Paused,
            "busy" => Refusal::Busy,
            "key_reused" => Refusal::KeyReused,
            "key_in_use" => Refusal::KeyInUse,
            "repeated" => {
                let execution = Some(Claim { delivery: DeliveryId(row.try_get("id")?), lease: Lease(1) });
                let told = SyncReply { execution, result: Ok(Some(rows::reply(row)?)) };
                repeated.extend(rows::inbox(row)?.map(|inbox| (inbox, told)));
                continue;
            }
            "begun" => {
                // A caller's row says all by itself.
                begun.push(Lane::of(row)?.delivery(row, TriggerId(row.try_get("trigger_id")?))?);
                continue;
            }
            standing => Refusal::Denied(Standing::from_name(standing)),
        };
        refused.extend(rows::inbox(row)?.map(|inbox| (inbox, refusal)));
    }
    Ok(Reply::Begin { now, begun, refused, repeated })
}

/// As `tidegate.begin_calls` takes it. The data travels as text within the JSON, so that it arrives byte for byte.
fn to_json(call: &SyncCall) -> Value {
    let cause = &call.cause;
    let mut json = json!({
        "reply_to": call.inbox.to_string(),
        "type": call.event.event_type,
        "subject": call.event.subject,
        "data": call.event.data.as_str(),
        "actor": cause.actor,
        "root_id": cause.parent.map(|parent| parent.root_id),
        "parent_id": cause.parent.map(|parent| parent.parent_id),
        "depth": cause.parent.map_or(0, |parent| parent.depth),
        "traceparent": cause.traceparent,
    });
    if let Some(key) = &call.idempotency_key {
        json["key"] = json!(key.key);
        json["digest"] = json!(key.digest);
    }
    match &call.target {
        SyncTarget::Trigger(id) => json["trigger"] = json!(id),
        SyncTarget::Script { app, script, timeout } => {
            json["app"] = json!(app);
            json["script"] = json!(script);
            json["timeout_ms"] = json!(timeout);
        }
    }
    json
}
