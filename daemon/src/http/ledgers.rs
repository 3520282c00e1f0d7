//! `…/loops` and `…/abandoned`: deliveries that ended without a dead letter.

use super::extract::{Filter, Params, Ready, name};
use super::paging::{self, Limit};
use super::problem::Problem;
use axum::Json;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_core::{AppName, DeliveryId};
use tidegate_ports::{AbandonedExecution, LoopEntry};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LoopsQuery {
    limit: Option<u32>,
}

/// Lists the loops that were stopped, the most recent first.
pub(super) async fn loops(
    Ready(services): Ready,
    Params(app): Params<String>,
    Filter(query): Filter<LoopsQuery>,
) -> Result<Json<Value>, Problem> {
    let app: AppName = name(app)?;
    let limit = Limit::new(query.limit)?;
    let found = services.ledgers.loops(&app, limit.and_one()).await.map_err(|error| Problem::in_app(&app, error))?;
    let (found, next) = limit.cut(found, |_| String::new());
    let view = |entry: &LoopEntry| {
        json!({
            "trigger": entry.trigger,
            "root_id": entry.root_id,
            "count": entry.count,
            "last_event_id": entry.last_event_id,
            "last_at": entry.last_at.to_rfc3339(),
        })
    };
    Ok(Json(json!({ "loops": found.iter().map(view).collect::<Vec<_>>(), "more": next.is_some() })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AbandonedQuery {
    cursor: Option<String>,
    limit: Option<u32>,
}

/// Lists abandoned executions, the newest first.
pub(super) async fn abandoned(
    Ready(services): Ready,
    Params(app): Params<String>,
    Filter(query): Filter<AbandonedQuery>,
) -> Result<Json<Value>, Problem> {
    let app: AppName = name(app)?;
    let limit = Limit::new(query.limit)?;
    let before = paging::row(query.cursor.as_deref())?.map(DeliveryId);
    let found = services.ledgers.abandoned(&app, before, limit.and_one()).await;
    let found = found.map_err(|error| Problem::in_app(&app, error))?;
    let (found, cursor) = limit.cut(found, |row| row.delivery_id.to_string());
    let view = |row: &AbandonedExecution| {
        json!({
            "delivery_id": row.delivery_id,
            "trigger": row.trigger,
            "event_id": row.event_id,
            "cause": row.cause,
            "outcome": row.outcome,
            "status": row.status,
            "message": row.message,
            "at": row.at.to_rfc3339(),
        })
    };
    Ok(Json(json!({ "abandoned": found.iter().map(view).collect::<Vec<_>>(), "cursor": cursor })))
}
