//! `…/triggers/{name}`: triggers, and whether they are paused.

use super::check;
use super::etag::etag;
use super::extract::{Params, Plain, Ready, Requester, Text, name};
use super::json;
use super::problem::Problem;
use super::state::ApiState;
use crate::services::Services;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tidegate_core::{AppName, ScriptName, Trigger, TriggerName, TriggerSpec};
use tidegate_ports::InvalidTrigger;

pub(super) async fn list(
    Ready(services): Ready,
    _: Plain,
    Params(app): Params<String>,
) -> Result<Json<Value>, Problem> {
    let app: AppName = name(app)?;
    let triggers = services.triggers.list(&app).await.map_err(|error| Problem::in_app(&app, error))?;
    let invalid = invalid(&services, &app).await?;
    let invalid = invalid.iter().map(|one| json!({ "name": one.name, "state": "invalid", "reason": one.reason }));
    let mut body = json!({ "triggers": triggers });
    if invalid.len() > 0 {
        body["invalid"] = invalid.collect();
    }
    Ok(Json(body))
}

pub(super) async fn get(
    Ready(services): Ready,
    _: Plain,
    Params(at): Params<(String, String)>,
) -> Result<Response, Problem> {
    let (app, trigger) = parse(at)?;
    let found = services.triggers.get(&app, &trigger).await.map_err(|error| Problem::in_app(&app, error))?;
    if let Some(found) = found {
        return Ok(response(found));
    }
    let invalid = invalid(&services, &app).await?;
    Err(invalid.iter().find(|one| one.name == trigger).map_or_else(|| missing(&app, &trigger), is_invalid))
}

/// The body is the specification of the trigger without its name, which is in the path.
pub(super) async fn put(
    Ready(services): Ready,
    State(state): State<ApiState>,
    Requester(principal): Requester,
    _: Plain,
    Params(at): Params<(String, String)>,
    Text(body): Text,
) -> Result<Response, Problem> {
    let (app, trigger) = parse(at)?;
    let mut body = json::value(&body)?;
    let fields = body.as_object_mut().ok_or_else(|| Problem::invalid("a trigger must be a JSON object"))?;
    if fields.insert("name".to_owned(), json!(trigger)).is_some_and(|name| name != json!(trigger)) {
        return Err(Problem::invalid("the trigger's name is in the path; leave \"name\" out of the body"));
    }
    let spec: TriggerSpec = json::object_of_value(body, "a trigger")?;
    let scripts = services.scripts.list(&app).await.map_err(|error| Problem::in_app(&app, error))?;
    let scripts: BTreeSet<ScriptName> = scripts.into_iter().map(|script| script.name).collect();
    let others = services.triggers.list(&app).await.map_err(|error| Problem::in_app(&app, error))?;
    let mut reasons = check::trigger(&spec, &state, |script| scripts.contains(script));
    reasons.extend(check::trigger_beside(&spec, &others));
    if let Some(reason) = reasons.first() {
        return Err(Problem::invalid(format!("trigger {trigger}: {reason}; nothing was changed")));
    }
    let stored = services.triggers.put(&app, &spec, &principal).await.map_err(|error| Problem::in_app(&app, error))?;
    services.wake.wake_for_discovery();
    Ok(response(stored))
}

pub(super) async fn delete(
    Ready(services): Ready,
    _: Plain,
    Params(at): Params<(String, String)>,
) -> Result<StatusCode, Problem> {
    let (app, trigger) = parse(at)?;
    match services.triggers.delete(&app, &trigger).await.map_err(|error| Problem::in_app(&app, error))? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(missing(&app, &trigger)),
    }
}

pub(super) async fn pause(
    Ready(services): Ready,
    _: Plain,
    Params(at): Params<(String, String)>,
) -> Result<Response, Problem> {
    set_paused(&services, at, true).await
}

pub(super) async fn resume(
    Ready(services): Ready,
    _: Plain,
    Params(at): Params<(String, String)>,
) -> Result<Response, Problem> {
    set_paused(&services, at, false).await
}

async fn set_paused(services: &Services, at: (String, String), paused: bool) -> Result<Response, Problem> {
    let (app, trigger) = parse(at)?;
    let changed = services.triggers.set_paused(&app, &trigger, paused).await;
    let changed = changed.map_err(|error| Problem::in_app(&app, error))?;
    if !paused {
        // The lane may have rows that are due.
        services.wake.wake_for_discovery();
    }
    changed.map(response).ok_or_else(|| missing(&app, &trigger))
}

fn parse((app, trigger): (String, String)) -> Result<(AppName, TriggerName), Problem> {
    Ok((name(app)?, name(trigger)?))
}

fn response(trigger: Trigger) -> Response {
    ([(header::ETAG, etag(trigger.version))], Json(trigger)).into_response()
}

/// The triggers of the app that this version cannot read.
async fn invalid(services: &Services, app: &AppName) -> Result<Vec<InvalidTrigger>, Problem> {
    let mut all = services.triggers.invalid().await.map_err(|error| Problem::without_app(&error))?;
    all.retain(|one| one.app == *app);
    Ok(all)
}

fn is_invalid(InvalidTrigger { name, reason, .. }: &InvalidTrigger) -> Problem {
    let detail = format!("the stored trigger {name} cannot be read: {reason}; deploy it again to replace it");
    Problem::new(StatusCode::CONFLICT, "trigger_invalid", detail)
}

fn missing(app: &AppName, trigger: &TriggerName) -> Problem {
    Problem::missing("trigger_not_found", format!("there is no trigger {trigger} in {app}"))
}
