//! `/v1/apps`: the list of apps, and the deployment of a whole app.

use super::check;
use super::extract::{Params, Plain, PlainQuery, Ready, Requester, Text, name};
use super::json::object;
use super::problem::{Part, Problem};
use super::state::ApiState;
use crate::services::Services;
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tidegate_core::{Access, AppName, Principal, TriggerName};
use tidegate_ports::{Change, Deployment, PortError};

/// The apps that the caller may read.
pub(super) async fn list(
    Ready(services): Ready,
    _: Plain,
    Extension(principal): Extension<Principal>,
) -> Result<Json<Value>, Problem> {
    let apps = services.apps.list().await.map_err(|error| Problem::without_app(&error))?;
    let apps: Vec<Value> = apps
        .iter()
        .filter(|app| principal.may(Access::Read, Some(&app.name)))
        .map(|app| json!({ "name": app.name, "created_at": app.created_at.to_rfc3339() }))
        .collect();
    Ok(Json(json!({ "apps": apps })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeployQuery {
    /// Whether deliveries of triggers that the deployment deletes become dead letters.
    #[serde(default)]
    dead_letter_waiting: bool,
}

/// Replaces the scripts and triggers of an app by those of the body, in one transaction.
pub(super) async fn deploy(
    Ready(services): Ready,
    State(state): State<ApiState>,
    Requester(principal): Requester,
    PlainQuery(query): PlainQuery<DeployQuery>,
    Params(app): Params<String>,
    Text(body): Text,
) -> Result<Json<Value>, Problem> {
    let app: AppName = name(app)?;
    let deployment: Deployment = object(&body, "a deployment")?;
    check::deployment(&deployment, &state).await?;
    if !query.dead_letter_waiting {
        refuse_waiting(&services, &app, &deployment).await?;
    }
    let report =
        services.apps.deploy(&app, &deployment, &principal).await.map_err(|error| Problem::in_app(&app, error))?;
    // The deployment may enable a trigger that has rows. Rows of deleted triggers become dead
    // letters. Both need a discovery.
    services.wake.wake_for_discovery();
    let changes = |changes: &[(String, Change)]| -> Vec<Value> {
        changes.iter().map(|(name, change)| json!({ "name": name, "change": change })).collect()
    };
    Ok(Json(json!({ "scripts": changes(&report.scripts), "triggers": changes(&report.triggers) })))
}

/// Refuses a deployment that deletes triggers with deliveries, and counts the deliveries.
///
/// A delivery that is written between this check and the deployment becomes a dead letter.
async fn refuse_waiting(services: &Services, app: &AppName, deployment: &Deployment) -> Result<(), Problem> {
    let kept: BTreeSet<&TriggerName> = deployment
        .triggers
        .iter()
        .map(|spec| &spec.name)
        .chain(deployment.renames.iter().map(|one| &one.from))
        .collect();
    let existing = match services.triggers.list(app).await {
        Err(PortError::UnknownApp) => return Ok(()),
        listed => listed.map_err(|error| Problem::in_app(app, error))?,
    };
    let deleted: BTreeSet<TriggerName> =
        existing.into_iter().map(|trigger| trigger.spec.name).filter(|name| !kept.contains(name)).collect();
    if deleted.is_empty() {
        return Ok(());
    }
    let (_, queues) = services.queues.queues(WAITING_MAX).await.map_err(|error| Problem::without_app(&error))?;
    let waiting =
        queues.iter().filter(|queue| queue.app == *app && deleted.contains(&queue.trigger) && queue.depth > 0);
    let parts: Vec<Part> = waiting
        .map(|queue| {
            let more = if queue.depth >= WAITING_MAX { " or more" } else { "" };
            let plural = if queue.depth == 1 { "y" } else { "ies" };
            let message = format!("{}{more} deliver{plural} wait or run", queue.depth);
            Part::new(format!("trigger {}", queue.trigger), message)
        })
        .collect();
    if parts.is_empty() {
        return Ok(());
    }
    let detail = "the deployment deletes triggers whose deliveries wait or run; nothing was changed; write \
        renamed_from = \"OLD NAME\" in the [[trigger]] that takes them over, or deploy with --dead-letter-waiting \
        (?dead_letter_waiting=true) to make them dead letters";
    Err(Problem::new(StatusCode::CONFLICT, "deliveries_waiting", detail).with_parts(parts))
}

/// The deliveries of a trigger are counted up to this number.
const WAITING_MAX: u32 = 1_000;
