//! `POST /v1/prune`: removes the records that are older than their retention.

use super::extract::{Plain, Ready, Text};
use super::json::object;
use super::problem::Problem;
use crate::services::Janitor;
use axum::Json;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A dry run counts at most this many records of each kind.
const COUNT_MAX: u32 = 100_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Prune {
    #[serde(default)]
    dry_run: bool,
}

/// Removes at most one batch of each kind, so that the request is short. `more` tells whether old
/// records may be left. A dry run counts them and removes nothing.
pub(super) async fn prune(Ready(services): Ready, _: Plain, Text(body): Text) -> Result<Json<Value>, Problem> {
    let Prune { dry_run } = object(&body, "a prune request")?;
    let janitor = &services.janitor;
    let found = if dry_run { janitor.count(COUNT_MAX).await } else { janitor.prune_batch().await };
    let found = found.map_err(|error| Problem::without_app(&error))?;
    let more = if dry_run { found.iter().any(|(_, count)| *count == COUNT_MAX) } else { Janitor::has_more(&found) };
    let counts: Map<String, Value> =
        found.iter().map(|(kind, count)| (kind.as_str().to_owned(), json!(count))).collect();
    Ok(Json(json!({ "dry_run": dry_run, "records": counts, "more": more })))
}
