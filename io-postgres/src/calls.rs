//! Begins sync calls. Their rows are written already claimed by this daemon.

use crate::dispatch::claim_of;
use crate::time::micros;
use crate::{rows, sql};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use std::collections::HashMap;
use std::sync::Arc;
use tidegate_core::{
    BeginCallsReply, CallRow, DeliveryId, EventId, InboxId, Micros, Parent, Refusal, Reply, Standing, SyncCall,
    SyncReply, SyncTarget, Timestamp, TriggerId,
};

pub(crate) async fn begin_calls(
    connection: &mut PgConnection,
    calls: &[SyncCall],
    lease_for: Micros,
) -> Result<Reply, sqlx::Error> {
    let found = fetch(connection, calls, lease_for).await?;
    let calls: HashMap<InboxId, &SyncCall> = calls.iter().map(|call| (call.inbox, call)).collect();
    let mut now = Timestamp::EPOCH;
    let (mut begun, mut refused, mut repeated) = (vec![], vec![], vec![]);
    for row in &found {
        now = rows::time(row, "now")?;
        let inbox = rows::inbox_of(row.try_get("reply_to")?)?;
        let Some(call) = calls.get(&inbox) else { continue };
        let refusal = match row.try_get("kind")? {
            "begun" => {
                begun.push(Arc::new(call.delivery(begun_call(row, now)?)));
                continue;
            }
            "repeated" => {
                let execution = Some(claim_of(row)?);
                repeated.push((inbox, SyncReply { execution, result: Ok(Some(rows::reply(row)?)) }));
                continue;
            }
            "gone" => Refusal::Gone,
            "paused" => Refusal::Paused,
            "busy" => Refusal::Busy,
            "key_reused" => Refusal::KeyReused,
            "key_in_use" => Refusal::KeyInUse,
            standing => Refusal::Denied(Standing::from_name(standing)),
        };
        refused.push((inbox, refusal));
    }
    Ok(Reply::BeginCalls(BeginCallsReply { now, deliveries: begun, refused, repeated }))
}

async fn fetch(
    connection: &mut PgConnection,
    calls: &[SyncCall],
    lease_for: Micros,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let parents = || calls.iter().map(|call| call.cause.parent);
    let depth = |parent: Parent| i32::try_from(parent.depth).unwrap_or(i32::MAX);
    let keys = || calls.iter().map(|call| call.idempotency_key.as_ref());
    let targets: Vec<_> = calls.iter().map(|call| target(&call.target)).collect();
    sqlx::query(sql::begin_calls)
        .bind(calls.iter().map(|call| call.inbox.to_string()).collect::<Vec<_>>())
        .bind(targets.iter().map(|target| target.trigger).collect::<Vec<_>>())
        .bind(targets.iter().map(|target| target.app).collect::<Vec<_>>())
        .bind(targets.iter().map(|target| target.script).collect::<Vec<_>>())
        .bind(targets.iter().map(|target| target.timeout_ms).collect::<Vec<_>>())
        .bind(calls.iter().map(|call| call.event.event_type.as_str()).collect::<Vec<_>>())
        .bind(calls.iter().map(|call| call.event.subject.as_str()).collect::<Vec<_>>())
        .bind(calls.iter().map(|call| call.event.data.as_str()).collect::<Vec<_>>())
        .bind(calls.iter().map(|call| call.cause.actor.as_str()).collect::<Vec<_>>())
        .bind(parents().map(|parent| parent.map(|parent| parent.root_id.0)).collect::<Vec<_>>())
        .bind(parents().map(|parent| parent.map(|parent| parent.parent_id.0)).collect::<Vec<_>>())
        .bind(parents().map(|parent| parent.map_or(0, depth)).collect::<Vec<_>>())
        .bind(calls.iter().map(|call| call.cause.traceparent.as_deref()).collect::<Vec<_>>())
        .bind(keys().map(|key| key.map(|key| key.key.as_str())).collect::<Vec<_>>())
        .bind(keys().map(|key| key.map(|key| key.digest.as_str())).collect::<Vec<_>>())
        .bind(micros(lease_for))
        .fetch_all(connection)
        .await
}

/// The target of a call: a trigger, or a script of an app with its timeout.
#[derive(Default)]
struct Target<'c> {
    trigger: Option<i64>,
    app: Option<&'c str>,
    script: Option<&'c str>,
    timeout_ms: Option<i32>,
}

fn target(target: &SyncTarget) -> Target<'_> {
    match target {
        SyncTarget::Trigger { id, .. } => Target { trigger: Some(id.0), ..Target::default() },
        SyncTarget::Script { app, script, timeout } => Target {
            trigger: None,
            app: Some(app.as_str()),
            script: Some(script.as_str()),
            timeout_ms: Some(i32::try_from(timeout.get()).unwrap_or(i32::MAX)),
        },
    }
}

fn begun_call(row: &PgRow, now: Timestamp) -> Result<CallRow, sqlx::Error> {
    Ok(CallRow {
        id: DeliveryId(row.try_get("id")?),
        lease: claim_of(row)?.lease,
        event_id: EventId(row.try_get("event_id")?),
        now,
        timeout: Micros::from_millis(rows::count(row, "timeout_ms")?.into()),
        trigger_id: TriggerId(row.try_get("trigger_id")?),
        app: rows::name(row, "app")?,
        trigger_name: rows::name(row, "trigger_name")?,
        trigger_version: row.try_get("trigger_version")?,
        handler: rows::handler(row)?,
        script_version: row.try_get("script_version")?,
        registered_by: rows::name(row, "registered_by")?,
    })
}
