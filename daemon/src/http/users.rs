//! `/v1/users`, and the sessions that they log in for.

use super::auth::TokenName;
use super::extract::{Params, Plain, Ready, Text, object};
use super::password;
use super::problem::Problem;
use super::tokens::{self, MadeToken};
use crate::services::Services;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_core::{Micros, Principal, PrincipalId};
use tidegate_ports::{NewPrincipal, PrincipalRecord};

/// How long a session lasts.
const SESSION: Micros = Micros::from_secs(12 * 3_600);

/// What is shown of a principal.
pub(super) fn view(record: &PrincipalRecord) -> Value {
    json!({
        "name": record.id.as_str().split_once(':').map_or(record.id.as_str(), |(_, name)| name),
        "principal": record.id,
        "admin": record.admin,
        "disabled": record.disabled,
        "roles": record.roles,
        "created_at": record.created_at.to_rfc3339(),
    })
}

/// `user:NAME`.
pub(super) fn user(name: &str) -> Result<PrincipalId, Problem> {
    tokens::checked_name("a user", name).map(|name| PrincipalId::new(format!("user:{name}")).expect("a short word"))
}

fn missing(name: &str) -> Problem {
    Problem::missing("user_not_found", format!("there is no user {name}"))
}

pub(super) async fn list(Ready(services): Ready, _: Plain) -> Result<Json<Value>, Problem> {
    let all = services.principals.list().await.map_err(|error| Problem::portless(&error))?;
    let users: Vec<Value> = all.iter().filter(|one| one.id.as_str().starts_with("user:")).map(view).collect();
    Ok(Json(json!({ "users": users })))
}

pub(super) async fn get(
    Ready(services): Ready,
    _: Plain,
    Params(name): Params<String>,
) -> Result<Json<Value>, Problem> {
    let found = services.principals.get(&user(&name)?).await.map_err(|error| Problem::portless(&error))?;
    found.as_ref().map(|found| Json(view(found))).ok_or_else(|| missing(&name))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewUser {
    #[serde(default)]
    admin: bool,
    password: Option<String>,
}

/// Makes a user, once: one that is there is not changed.
pub(super) async fn put(
    Ready(services): Ready,
    _: Plain,
    Params(name): Params<String>,
    Text(body): Text,
) -> Result<Response, Problem> {
    let (id, new): (_, NewUser) = (user(&name)?, object(&body, "a user")?);
    let password_hash = match new.password {
        Some(password) => Some(password::hash(password).await?),
        None => None,
    };
    let new = NewPrincipal { id: id.clone(), admin: new.admin, password_hash };
    if !services.principals.add(&new).await.map_err(|error| Problem::portless(&error))? {
        let detail = format!("there is a user {name} already; nothing was changed");
        return Err(Problem::new(StatusCode::CONFLICT, "user_exists", detail));
    }
    services.resolver.forget(&id);
    let made = services.principals.get(&id).await.map_err(|error| Problem::portless(&error))?;
    let made = made.ok_or_else(|| missing(&name))?;
    Ok((StatusCode::CREATED, Json(view(&made))).into_response())
}

pub(super) async fn delete(
    Ready(services): Ready,
    _: Plain,
    Params(name): Params<String>,
) -> Result<StatusCode, Problem> {
    let id = user(&name)?;
    let was_there = services.principals.delete(&id).await.map_err(|error| Problem::portless(&error))?;
    services.resolver.forget(&id);
    if was_there { Ok(StatusCode::NO_CONTENT) } else { Err(missing(&name)) }
}

pub(super) async fn disable(
    Ready(services): Ready,
    _: Plain,
    Params(name): Params<String>,
) -> Result<StatusCode, Problem> {
    set_disabled(&services, &name, true).await
}

pub(super) async fn enable(
    Ready(services): Ready,
    _: Plain,
    Params(name): Params<String>,
) -> Result<StatusCode, Problem> {
    set_disabled(&services, &name, false).await
}

async fn set_disabled(services: &Services, name: &str, disabled: bool) -> Result<StatusCode, Problem> {
    let id = user(name)?;
    let changed = services.principals.set_disabled(&id, disabled).await.map_err(|error| Problem::portless(&error))?;
    services.resolver.forget(&id);
    if changed { Ok(StatusCode::NO_CONTENT) } else { Err(missing(name)) }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPassword {
    password: String,
}

pub(super) async fn set_password(
    Ready(services): Ready,
    _: Plain,
    Params(name): Params<String>,
    Text(body): Text,
) -> Result<StatusCode, Problem> {
    let (id, new): (_, NewPassword) = (user(&name)?, object(&body, "a password")?);
    let hash = password::hash(new.password).await?;
    let changed = services.principals.set_password(&id, &hash).await.map_err(|error| Problem::portless(&error))?;
    if changed { Ok(StatusCode::NO_CONTENT) } else { Err(missing(&name)) }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    user: String,
    password: String,
}

/// A token of the user's, for twelve hours. It takes the same time whether there is such a user or not.
pub(super) async fn login(Ready(services): Ready, _: Plain, Text(body): Text) -> Result<Response, Problem> {
    let Login { user: name, password } = object(&body, "a login")?;
    let id = user(&name).ok();
    let hash = match &id {
        Some(id) => services.principals.password_hash(id).await.map_err(|error| Problem::portless(&error))?,
        None => None,
    };
    let is_right = password::is(password, hash).await?;
    let known = match id {
        Some(id) if is_right => services.principals.get(&id).await.map_err(|error| Problem::portless(&error))?,
        _ => None,
    };
    let Some(principal) = known.and_then(PrincipalRecord::active) else {
        return Err(Problem::unauthorized("the user or the password is wrong, or the user is disabled"));
    };
    let made = MadeToken::of(&services, tokens::session_name(), principal.id, Some(SESSION)).await?;
    Ok((StatusCode::CREATED, Json(made.view())).into_response())
}

/// Ends the session whose token this request bears. Other tokens are revoked by an admin.
pub(super) async fn logout(
    Ready(services): Ready,
    _: Plain,
    Extension(TokenName(token)): Extension<TokenName>,
) -> Result<StatusCode, Problem> {
    let Some(name) = token.filter(|name| tokens::is_session(name)) else {
        let detail = "the token is no session; `DELETE /v1/tokens/{name}` revokes others";
        return Err(Problem::new(StatusCode::CONFLICT, "no_session", detail));
    };
    services.tokens.delete_token(&name).await.map_err(|error| Problem::portless(&error))?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn whoami(_: Plain, Extension(principal): Extension<Principal>) -> Json<Value> {
    Json(json!({ "principal": principal.id, "admin": principal.admin, "roles": principal.roles }))
}
