//! `POST …/invoke/{script}`: runs a script as the principal of the request.
//!
//! The response is the value that the script returns.

use super::connection::CallerConnection;
use super::events::idempotency_key;
use super::extract::{Filter, Params, Ready, Requester, Text, name};
use super::problem::Problem;
use super::receipt::confirm_when_sent;
use super::reply::response;
use super::state::ApiState;
use super::trace_context::cause;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tidegate_core::{
    AppName, EventType, ExecError, Json, NewEvent, ScriptName, Subject, SyncReply, SyncTarget, TimeoutMs,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    timeout_ms: Option<u64>,
}

/// The body is the data of the script's event: JSON, or empty for `null`.
pub(super) async fn invoke(
    Ready(services): Ready,
    State(state): State<ApiState>,
    Requester(principal): Requester,
    Filter(query): Filter<Query>,
    Params((app, script)): Params<(String, String)>,
    (connection, headers): (CallerConnection, HeaderMap),
    Text(body): Text,
) -> Result<Response, Problem> {
    let (app, script): (AppName, ScriptName) = (name(app)?, name(script)?);
    let timeout = query.timeout_ms.map(TimeoutMs::try_from).transpose().map_err(Problem::invalid)?.unwrap_or_default();
    let (length, max) = (body.trim().len(), state.limits.data_bytes_max);
    if length > max {
        let detail = format!(
            "the body is {length} bytes long, but at most {max} bytes are allowed (scripts.data_bytes_max); nothing was started"
        );
        return Err(Problem::too_large(detail));
    }
    let data = if length == 0 { Ok(Json::null()) } else { Json::parse(&body) };
    let data = data.map_err(|error| Problem::invalid_json(error.to_string()))?;
    let event = NewEvent {
        event_type: EventType::new("invoke").expect("the constant is a valid type"),
        subject: Subject::new(script.as_str()).expect("the name of a script is a valid subject"),
        data,
    };
    let idempotency_key = idempotency_key(&headers, &format!("invoke {script}\n"), &body)?;
    let target = SyncTarget::Script { app: app.clone(), script: script.clone(), timeout };
    let called = services.caller.call_with_receipt(target, event, cause(principal, &headers), idempotency_key).await;
    // Nearly every invoked script exists, so its existence is checked only after a failure. A check
    // before each call would cost a round trip.
    match called {
        Ok((reply, receipt)) if is_missing(&reply) => {
            let found = services.scripts.get(&app, &script).await.map_err(|error| Problem::in_app(&app, error))?;
            if found.is_some() {
                return Ok(response(Ok((reply, receipt)), connection, |problem| problem));
            }
            let problem = Problem::missing("script_not_found", format!("there is no script {script} in {app}"));
            Ok(confirm_when_sent(problem.into_response(), receipt, connection))
        }
        called => Ok(response(called, connection, |problem| problem)),
    }
}

fn is_missing(reply: &SyncReply) -> bool {
    reply.result.as_ref().is_err_and(|failure| failure.error == ExecError::HandlerMissing)
}
