//! `/v1/login`, `/v1/logout` and `/v1/whoami`: sessions of users, and the principal of a request.

use super::auth::TokenName;
use super::extract::{Plain, Ready, Text};
use super::json::object;
use super::names::user_id;
use super::password;
use super::problem::Problem;
use super::tokens::{self, CreatedToken};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_core::{Micros, Principal};
use tidegate_ports::PrincipalRecord;

const SESSION_VALID_FOR: Micros = Micros::from_secs(12 * 3_600);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    user: String,
    password: String,
}

/// Creates a token of the user that is valid for 12 hours.
///
/// The password is hashed also if the user does not exist, so that the time of the answer does not
/// show which users exist.
pub(super) async fn login(Ready(services): Ready, _: Plain, Text(body): Text) -> Result<Response, Problem> {
    let Login { user: name, password } = object(&body, "a login")?;
    let id = user_id(&name).ok();
    let hash = match &id {
        Some(id) => services.principals.password_hash(id).await.map_err(|error| Problem::without_app(&error))?,
        None => None,
    };
    let is_correct = password::is_correct(password, hash).await?;
    let record = match id {
        Some(id) if is_correct => services.principals.get(&id).await.map_err(|error| Problem::without_app(&error))?,
        _ => None,
    };
    let Some(principal) = record.and_then(PrincipalRecord::active) else {
        return Err(Problem::unauthorized("the user or the password is wrong, or the user is disabled"));
    };
    let name = tokens::new_session_name();
    let created = CreatedToken::create(&services, name, principal.id, Some(SESSION_VALID_FOR)).await?;
    Ok((StatusCode::CREATED, Json(created.view())).into_response())
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
    Json(json!({ "principal": principal.id, "admin": principal.admin, "roles": principal.roles }))
}
