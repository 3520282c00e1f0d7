//! `/v1/apps`: which there are, and the deployment of one as a whole.

use super::check;
use super::extract::{By, Params, Plain, Ready, Text, name, object};
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
    let apps = services.apps.list().await.map_err(|error| Problem::portless(&error))?;
    let apps: Vec<Value> = apps
        .iter()
        .filter(|app| principal.may(Access::Read, Some(&app.name)))
        .map(|app| json!({ "name": app.name, "created_at": app.created_at.to_rfc3339() }))
        .collect();
    Ok(Json(json!({ "apps": apps })))
}

/// Makes the app's scripts and triggers exactly those of the body, all or nothing.
pub(super) async fn deploy(
    Ready(services): Ready,
    State(state): State<ApiState>,
    By(principal): By,
    _: Plain,
    Params(app): Params<String>,
    Text(body): Text,
) -> Result<Json<Value>, Problem> {
    let app: AppName = name(app)?;
    let deployment: Deployment = object(&body, "a deployment")?;
    check::deployment(&deployment, &state).await?;
    let report =
        services.apps.deploy(&app, &deployment, &principal).await.map_err(|error| Problem::port(&app, error))?;
    // A trigger may have been enabled, and rows of deleted ones have to die.
    services.wake.wake_for_discovery();
    let changes = |changes: &[(String, Change)]| -> Vec<Value> {
        changes.iter().map(|(name, change)| json!({ "name": name, "change": change })).collect()
    };
    Ok(Json(json!({ "scripts": changes(&report.scripts), "triggers": changes(&report.triggers) })))
}
