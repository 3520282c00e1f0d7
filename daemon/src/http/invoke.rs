//! `POST …/invoke/{script}`: runs a script by its name, as the caller, and answers what it returns.

use super::events::idempotency_key;
use super::extract::{By, Filter, Params, Ready, Text, cause, name};
use super::problem::Problem;
use super::reply::response;
use super::state::ApiState;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use tidegate_core::{
    AppName, EventType, ExecError, Json, NewEvent, ScriptName, Subject, SyncReply, SyncTarget, TimeoutMs,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    timeout_ms: Option<u64>,
}

/// The body is the data of the event that the script gets: JSON, or nothing for null.
pub(super) async fn invoke(
    Ready(services): Ready,
    State(state): State<ApiState>,
    By(principal): By,
    Filter(query): Filter<Query>,
    Params((app, script)): Params<(String, String)>,
    headers: HeaderMap,
    Text(body): Text,
) -> Result<Response, Problem> {
    let (app, script): (AppName, ScriptName) = (name(app)?, name(script)?);
    let timeout = query.timeout_ms.map(TimeoutMs::try_from).transpose().map_err(Problem::invalid)?.unwrap_or_default();
    let (length, max) = (body.trim().len(), state.limits.data_bytes_max);
    if length > max {
        let detail = format!("the body is {length} bytes long, at most {max} are allowed; nothing was started");
        return Err(Problem::too_large(detail));
    }
    let data = if length == 0 { Ok(Json::null()) } else { Json::parse(&body) };
    let data = data.map_err(|error| Problem::invalid_json(error.to_string()))?;
    let event = NewEvent {
        event_type: EventType::new("invoke").expect("a constant within the rule"),
        subject: Subject::new(script.as_str()).expect("a script's name fits into a subject"),
        data,
    };
    let idempotency_key = idempotency_key(&headers, &format!("invoke {script}\n"), &body)?;
    let target = SyncTarget::Script { app: app.clone(), script: script.clone(), timeout };
    let called = services.caller.call_with_receipt(target, event, cause(principal, &headers), idempotency_key).await;
    // Asked only now, because nearly every script that is invoked is there: it would cost each call a round trip.
    if called.as_ref().is_ok_and(|(reply, _)| is_missing(reply)) {
        let found = services.scripts.get(&app, &script).await.map_err(|error| Problem::port(&app, error))?;
        if found.is_none() {
            called.into_iter().for_each(|(_, receipt)| receipt.confirm());
            return Err(Problem::missing("script_not_found", format!("there is no script {script} in {app}")));
        }
    }
    Ok(response(called))
}

fn is_missing(reply: &SyncReply) -> bool {
    reply.result.as_ref().is_err_and(|failure| failure.error == ExecError::HandlerMissing)
}
