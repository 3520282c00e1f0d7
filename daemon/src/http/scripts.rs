//! `…/scripts/{name}`: sources of scripts. A script is compiled before it is stored.

use super::check;
use super::etag::{etag, is_unchanged, not_modified};
use super::extract::{NoQuery, Params, Plain, Ready, Text, name};
use super::problem::Problem;
use super::state::ApiState;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tidegate_core::{AppName, Handler, ScriptName, Trigger};
use tidegate_ports::{DeploymentScript, Script};

pub(super) async fn list(
    Ready(services): Ready,
    _: Plain,
    Params(app): Params<String>,
) -> Result<Json<Value>, Problem> {
    let app: AppName = name(app)?;
    let scripts = services.scripts.list(&app).await.map_err(|error| Problem::in_app(&app, error))?;
    Ok(Json(json!({ "scripts": scripts.iter().map(summary).collect::<Vec<_>>() })))
}

pub(super) async fn get(
    Ready(services): Ready,
    _: NoQuery,
    Params(at): Params<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (app, script) = parse(at)?;
    let found = services.scripts.get(&app, &script).await.map_err(|error| Problem::in_app(&app, error))?;
    let found = found.ok_or_else(|| missing(&app, &script))?;
    let etag = etag(found.version);
    if is_unchanged(&headers, &etag) {
        return Ok(not_modified(etag));
    }
    let content_type = HeaderValue::from_static("text/javascript; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, content_type), (header::ETAG, etag)], found.source).into_response())
}

pub(super) async fn put(
    Ready(services): Ready,
    State(state): State<ApiState>,
    _: Plain,
    Params(at): Params<(String, String)>,
    Text(source): Text,
) -> Result<Response, Problem> {
    let (app, script) = parse(at)?;
    let candidate = DeploymentScript { name: script.clone(), source: source.clone() };
    check::scripts(vec![candidate], &state).await?;
    let stored = services.scripts.put(&app, &script, &source).await.map_err(|error| Problem::in_app(&app, error))?;
    Ok(([(header::ETAG, etag(stored.version))], Json(summary(&stored))).into_response())
}

pub(super) async fn delete(
    Ready(services): Ready,
    _: Plain,
    Params(at): Params<(String, String)>,
) -> Result<StatusCode, Problem> {
    let (app, script) = parse(at)?;
    let triggers = services.triggers.list(&app).await.map_err(|error| Problem::in_app(&app, error))?;
    let uses = |trigger: &&Trigger| trigger.spec.handler == Handler::Script(script.clone());
    let users: Vec<&str> = triggers.iter().filter(uses).map(|trigger| trigger.spec.name.as_str()).collect();
    if !users.is_empty() {
        let detail = format!(
            "the script {script} is the handler of the triggers {}; nothing was changed; delete these triggers first",
            users.join(", ")
        );
        return Err(Problem::new(StatusCode::CONFLICT, "script_in_use", detail));
    }
    match services.scripts.delete(&app, &script).await.map_err(|error| Problem::in_app(&app, error))? {
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
