//! `/v1/login`, `/v1/logout` and `/v1/whoami`: sessions of users, and the principal of a request.

use super::auth::TokenName;
use super::connections::origin;
use super::extract::{Plain, Ready, read_body};
use super::json::object;
use super::listener::Peer;
use super::names::user_id;
use super::problem::Problem;
use super::state::{ApiState, HttpLimits};
use super::tokens::{self, CreatedToken};
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use tidegate_core::{Micros, Principal};
use tidegate_ports::PrincipalRecord;

const SESSION_VALID_FOR: Micros = Micros::from_secs(12 * 3_600);
/// The longest body of a login. Any client may send one.
const BODY_BYTES_MAX: usize = 4 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    user: String,
    password: String,
}

/// Creates a token of the user that is valid for 12 hours.
///
/// The password is hashed also if the user does not exist, so that the time of the answer does not
/// show which users exist. An attempt that must wait is refused before its password is read, so
/// that the answer does not show whether the password is right.
pub(super) async fn login(
    Ready(services): Ready,
    State(state): State<ApiState>,
    _: Plain,
    peer: Option<Extension<Peer>>,
    body: Body,
) -> Result<Response, Problem> {
    let body = read_body(body, HttpLimits { body_bytes_max: BODY_BYTES_MAX, ..state.limits }).await?;
    let body = String::from_utf8(body).map_err(|_| Problem::invalid_json("the body is not UTF-8"))?;
    let Login { user: name, password } = object(&body, "a login")?;
    let id = user_id(&name).ok();
    // A request without a socket comes from a test of the router.
    let address = peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |Extension(Peer(peer))| origin(peer.ip()));
    let _place = state.logins.passwords.place()?;
    state.logins.limits.begin(id.as_ref(), address).map_err(must_wait)?;
    let hash = match &id {
        Some(id) => services.principals.password_hash(id).await.map_err(|error| Problem::without_app(&error))?,
        None => None,
    };
    let is_correct = state.logins.passwords.is_correct(password, hash).await?;
    let record = match id {
        Some(id) if is_correct => services.principals.get(&id).await.map_err(|error| Problem::without_app(&error))?,
        _ => None,
    };
    let Some(principal) = record.and_then(PrincipalRecord::active) else {
        return Err(Problem::unauthorized("the user or the password is wrong, or the user is disabled"));
    };
    state.logins.limits.succeeded(&principal.id, address);
    let name = tokens::new_session_name();
    let created = CreatedToken::create(&services, name, principal.id, Some(SESSION_VALID_FOR)).await?;
    Ok((StatusCode::CREATED, Json(created.view())).into_response())
}

fn must_wait(wait: Duration) -> Problem {
    let seconds = u32::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX);
    Problem::too_many(
        format!(
            "too many logins of this user or from this address failed; no session was created; try again in {seconds} s"
        ),
        seconds,
    )
}

/// Ends the session of the token that the request sends. An admin revokes other tokens.
pub(super) async fn logout(
    Ready(services): Ready,
    _: Plain,
    Extension(TokenName(token)): Extension<TokenName>,
) -> Result<StatusCode, Problem> {
    let Some(name) = token.filter(|name| tokens::is_session(name)) else {
        let detail = "the token of the request is not a session; an admin can revoke it by `DELETE /v1/tokens/{name}`";
        return Err(Problem::new(StatusCode::CONFLICT, "no_session", detail));
    };
    services.tokens.delete_token(&name).await.map_err(|error| Problem::without_app(&error))?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn whoami(_: Plain, Extension(principal): Extension<Principal>) -> Json<Value> {
    Json(
        json!({ "principal": principal.id, "admin": principal.admin, "monitor": principal.monitor, "roles": principal.roles }),
    )
}
