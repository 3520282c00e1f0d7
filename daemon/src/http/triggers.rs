//! `…/triggers/{name}`.

use super::check;
use super::extract::{By, Params, Text, name};
use super::problem::Problem;
use super::state::ApiState;
use crate::server::Services;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tidegate_core::{AppName, ScriptName, Trigger, TriggerName, TriggerSpec};

pub(super) async fn list(services: Services, Params(app): Params<String>) -> Result<Json<Value>, Problem> {
    let app: AppName = name(app)?;
    let triggers = services.triggers.list(&app).await.map_err(|error| Problem::port(&app, error))?;
    Ok(Json(json!({ "triggers": triggers })))
}

pub(super) async fn get(services: Services, Params(at): Params<(String, String)>) -> Result<Json<Trigger>, Problem> {
    let (app, trigger) = parse(at)?;
    let found = services.triggers.get(&app, &trigger).await.map_err(|error| Problem::port(&app, error))?;
    found.map(Json).ok_or_else(|| missing(&app, &trigger))
}

/// The body is the trigger's specification without its name, which the path gives.
pub(super) async fn put(
    services: Services,
    State(state): State<ApiState>,
    By(principal): By,
    Params(at): Params<(String, String)>,
    Text(body): Text,
) -> Result<Json<Trigger>, Problem> {
    let (app, trigger) = parse(at)?;
    let mut body: Value = serde_json::from_str(&body).map_err(|error| Problem::json(&error))?;
    let fields = body.as_object_mut().ok_or_else(|| Problem::invalid("a trigger is a JSON object"))?;
    fields.insert("name".to_owned(), json!(trigger));
    let spec: TriggerSpec = serde_json::from_value(body).map_err(|error| Problem::invalid(error.to_string()))?;
    let scripts = services.scripts.list(&app).await.map_err(|error| Problem::port(&app, error))?;
    let scripts: BTreeSet<ScriptName> = scripts.into_iter().map(|script| script.name).collect();
    check::trigger(&spec, &state, |script| scripts.contains(script))?;
    let stored = services.triggers.put(&app, &spec, &principal).await.map_err(|error| Problem::port(&app, error))?;
    services.wake.wake_somewhere();
    Ok(Json(stored))
}

pub(super) async fn delete(services: Services, Params(at): Params<(String, String)>) -> Result<StatusCode, Problem> {
    let (app, trigger) = parse(at)?;
    match services.triggers.delete(&app, &trigger).await.map_err(|error| Problem::port(&app, error))? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(missing(&app, &trigger)),
    }
}

pub(super) async fn pause(services: Services, Params(at): Params<(String, String)>) -> Result<Json<Trigger>, Problem> {
    set_paused(services, at, true).await
}

pub(super) async fn resume(services: Services, Params(at): Params<(String, String)>) -> Result<Json<Trigger>, Problem> {
    set_paused(services, at, false).await
}

async fn set_paused(services: Services, at: (String, String), paused: bool) -> Result<Json<Trigger>, Problem> {
    let (app, trigger) = parse(at)?;
    let changed = services.triggers.set_paused(&app, &trigger, paused).await;
    let changed = changed.map_err(|error| Problem::port(&app, error))?;
    services.wake.wake_somewhere();
    changed.map(Json).ok_or_else(|| missing(&app, &trigger))
}

fn parse((app, trigger): (String, String)) -> Result<(AppName, TriggerName), Problem> {
    Ok((name(app)?, name(trigger)?))
}

fn missing(app: &AppName, trigger: &TriggerName) -> Problem {
    Problem::missing("trigger_not_found", format!("there is no trigger {trigger} in {app}"))
}
