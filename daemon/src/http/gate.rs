//! `/v1/gate`: the limits of the execution gate, and the permits that are in use.

use super::extract::{Plain, Ready, Text};
use super::json::object;
use super::problem::Problem;
use crate::services::Services;
use axum::Json;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_core::{Config, ConfigSpec, GateLimits, View};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    permits: Option<u32>,
    sync_reserve: Option<u32>,
    async_reserve: Option<u32>,
}

pub(super) async fn get(Ready(services): Ready, _: Plain) -> Json<Value> {
    Json(gate_view(&services))
}

/// Changes the limits at once, for this daemon, until it stops.
///
/// If more executions run than a lowered limit permits, they finish.
pub(super) async fn patch(Ready(services): Ready, _: Plain, Text(body): Text) -> Result<Json<Value>, Problem> {
    let change: Change = object(&body, "a change of the gate")?;
    let now = services.gate.limits();
    let limits = GateLimits {
        permits: change.permits.unwrap_or(now.permits),
        sync_reserve: change.sync_reserve.unwrap_or(now.sync_reserve),
        async_reserve: change.async_reserve.unwrap_or(now.async_reserve),
    };
    Config::try_from(ConfigSpec { gate: limits, ..ConfigSpec::default() })
        .map_err(|error| Problem::invalid(format!("{error}; nothing was changed")))?;
    services.gate.change(limits).await.map_err(|error| Problem::unavailable(error.to_string()))?;
    Ok(Json(gate_view(&services)))
}

fn gate_view(services: &Services) -> Value {
    let View { permits, sync_reserve, async_reserve, running, queued, calls_waiting, .. } = services.gate.view();
    let waiting = services.threads.state().waiting;
    json!({
        "permits": permits,
        "sync_reserve": sync_reserve,
        "async_reserve": async_reserve,
        "running": running.saturating_sub(waiting),
        "waiting_for_thread": waiting,
        "queued": queued,
        "calls_waiting": calls_waiting,
    })
}
