//! `…/scripts/{name}`: sources, compiled before they are stored.

use super::check;
use super::extract::{Params, Text, name};
use super::problem::Problem;
use super::state::ApiState;
use crate::server::Services;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tidegate_core::{AppName, ScriptName};
use tidegate_driver::{DeploymentScript, Script};

pub(super) async fn list(services: Services, Params(app): Params<String>) -> Result<Json<Value>, Problem> {
    let app: AppName = name(app)?;
    let scripts = services.scripts.list(&app).await.map_err(|error| Problem::port(&app, error))?;
    Ok(Json(json!({ "scripts": scripts.iter().map(summary).collect::<Vec<_>>() })))
}

pub(super) async fn get(services: Services, Params(at): Params<(String, String)>) -> Result<Response, Problem> {
    let (app, script) = parse(at)?;
    let found = services.scripts.get(&app, &script).await.map_err(|error| Problem::port(&app, error))?;
    let found = found.ok_or_else(|| missing(&app, &script))?;
    let headers = [
        (header::CONTENT_TYPE, "text/javascript; charset=utf-8".to_owned()),
        (header::ETAG, format!("\"{}\"", found.version)),
    ];
    Ok((headers, found.source).into_response())
}

pub(super) async fn put(
    services: Services,
    State(state): State<ApiState>,
    Params(at): Params<(String, String)>,
    Text(source): Text,
) -> Result<Json<Value>, Problem> {
    let (app, script) = parse(at)?;
    let candidate = DeploymentScript { name: script.clone(), source: source.clone() };
    check::scripts(vec![candidate], &state).await?;
    let stored = services.scripts.put(&app, &script, &source).await.map_err(|error| Problem::port(&app, error))?;
    Ok(Json(summary(&stored)))
}

pub(super) async fn delete(services: Services, Params(at): Params<(String, String)>) -> Result<StatusCode, Problem> {
    let (app, script) = parse(at)?;
    match services.scripts.delete(&app, &script).await.map_err(|error| Problem::port(&app, error))? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(missing(&app, &script)),
    }
}

fn parse((app, script): (String, String)) -> Result<(AppName, ScriptName), Problem> {
    Ok((name(app)?, name(script)?))
}

fn missing(app: &AppName, script: &ScriptName) -> Problem {
    Problem::missing("script_not_found", format!("there is no script {script} in {app}"))
}

fn summary(script: &Script) -> Value {
    json!({ "name": script.name, "version": script.version, "updated_at": script.updated_at.to_rfc3339() })
}
