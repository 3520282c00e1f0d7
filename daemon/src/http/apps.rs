//! `/v1/apps`: the list of apps, and the deployment of a whole app.

use super::check;
use super::extract::{Params, Plain, Ready, Requester, Text, name};
use super::json::object;
use super::problem::Problem;
use super::state::ApiState;
use axum::extract::State;
use axum::{Extension, Json};
use serde_json::{Value, json};
use tidegate_core::{Access, AppName, Principal};
use tidegate_ports::{Change, Deployment};

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

/// Replaces the scripts and triggers of an app by those of the body, in one transaction.
pub(super) async fn deploy(
    Ready(services): Ready,
    State(state): State<ApiState>,
    Requester(principal): Requester,
    _: Plain,
    Params(app): Params<String>,
    Text(body): Text,
) -> Result<Json<Value>, Problem> {
    let app: AppName = name(app)?;
    let deployment: Deployment = object(&body, "a deployment")?;
    check::deployment(&deployment, &state).await?;
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
