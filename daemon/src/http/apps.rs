//! `/v1/apps`: which there are, and the deployment of one as a whole.

use super::check;
use super::extract::{By, Params, Text, name};
use super::problem::Problem;
use super::state::ApiState;
use crate::server::Services;
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use tidegate_core::AppName;
use tidegate_driver::{Change, Deployment};

pub(super) async fn list(services: Services) -> Result<Json<Value>, Problem> {
    let apps = services.apps.list().await.map_err(|error| match error {
        tidegate_driver::PortError::Store(error) => Problem::store(&error),
        other => Problem::new(500, "internal", other.to_string()),
    })?;
    let apps: Vec<Value> =
        apps.iter().map(|app| json!({ "name": app.name, "created_at": app.created_at.to_rfc3339() })).collect();
    Ok(Json(json!({ "apps": apps })))
}

/// Makes the app's scripts and triggers exactly those of the body, all or nothing.
pub(super) async fn deploy(
    services: Services,
    State(state): State<ApiState>,
    By(principal): By,
    Params(app): Params<String>,
    Text(body): Text,
) -> Result<Json<Value>, Problem> {
    let app: AppName = name(app)?;
    let deployment: Deployment = serde_json::from_str(&body).map_err(|error| Problem::json(&error))?;
    check::deployment(&deployment, &state).await?;
    let report =
        services.apps.deploy(&app, &deployment, &principal).await.map_err(|error| Problem::port(&app, error))?;
    // A trigger may have been enabled, and rows of deleted ones have to die.
    services.wake.wake_somewhere();
    let changes = |changes: &[(String, Change)]| -> Vec<Value> {
        changes.iter().map(|(name, change)| json!({ "name": name, "change": change })).collect()
    };
    Ok(Json(json!({ "scripts": changes(&report.scripts), "triggers": changes(&report.triggers) })))
}
