//! `/v1/users`: users, their passwords, and whether they are disabled.

use super::extract::{Params, Plain, Ready, Text};
use super::json::object;
use super::names::user_id;
use super::problem::Problem;
use super::state::ApiState;
use crate::services::Services;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_ports::{NewPrincipal, PrincipalRecord};

fn view(record: &PrincipalRecord) -> Value {
    json!({
        "name": record.id.as_str().split_once(':').map_or(record.id.as_str(), |(_, name)| name),
        "principal": record.id,
        "admin": record.admin,
        "disabled": record.disabled,
        "roles": record.roles,
        "created_at": record.created_at.to_rfc3339(),
    })
}

fn missing(name: &str) -> Problem {
    Problem::missing("user_not_found", format!("there is no user {name}"))
}

pub(super) async fn list(Ready(services): Ready, _: Plain) -> Result<Json<Value>, Problem> {
    let all = services.principals.list().await.map_err(|error| Problem::without_app(&error))?;
    let users: Vec<Value> = all.iter().filter(|record| record.id.as_str().starts_with("user:")).map(view).collect();
    Ok(Json(json!({ "users": users })))
}

pub(super) async fn get(
    Ready(services): Ready,
    _: Plain,
    Params(name): Params<String>,
) -> Result<Json<Value>, Problem> {
    let found = services.principals.get(&user_id(&name)?).await.map_err(|error| Problem::without_app(&error))?;
    found.as_ref().map(|found| Json(view(found))).ok_or_else(|| missing(&name))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewUser {
    #[serde(default)]
    admin: bool,
    password: Option<String>,
}

/// Creates a user. A user that exists already is not changed.
pub(super) async fn put(
    Ready(services): Ready,
    State(state): State<ApiState>,
    _: Plain,
    Params(name): Params<String>,
    Text(body): Text,
) -> Result<Response, Problem> {
    let (id, new): (_, NewUser) = (user_id(&name)?, object(&body, "a user")?);
    let password_hash = match new.password {
        Some(password) => Some(state.logins.passwords.hash(password).await?),
        None => None,
    };
    let new = NewPrincipal { id: id.clone(), admin: new.admin, monitor: false, password_hash };
    if !services.principals.add(&new).await.map_err(|error| Problem::without_app(&error))? {
        let detail = format!("the user {name} exists already; nothing was changed");
        return Err(Problem::new(StatusCode::CONFLICT, "user_exists", detail));
    }
    services.resolver.forget(&id);
    let created = services.principals.get(&id).await.map_err(|error| Problem::without_app(&error))?;
    let created = created.ok_or_else(|| missing(&name))?;
    Ok((StatusCode::CREATED, Json(view(&created))).into_response())
}

pub(super) async fn delete(
    Ready(services): Ready,
    _: Plain,
    Params(name): Params<String>,
) -> Result<StatusCode, Problem> {
    let id = user_id(&name)?;
    let existed = services.principals.delete(&id).await.map_err(|error| Problem::without_app(&error))?;
    services.resolver.forget(&id);
    if existed { Ok(StatusCode::NO_CONTENT) } else { Err(missing(&name)) }
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
    let id = user_id(name)?;
    let changed =
        services.principals.set_disabled(&id, disabled).await.map_err(|error| Problem::without_app(&error))?;
    services.resolver.forget(&id);
    if changed { Ok(StatusCode::NO_CONTENT) } else { Err(missing(name)) }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPassword {
    password: String,
}

/// Sets the password of a user and ends the user's sessions.
pub(super) async fn set_password(
    Ready(services): Ready,
    State(state): State<ApiState>,
    _: Plain,
    Params(name): Params<String>,
    Text(body): Text,
) -> Result<StatusCode, Problem> {
    let (id, new): (_, NewPassword) = (user_id(&name)?, object(&body, "a password")?);
    let hash = state.logins.passwords.hash(new.password).await?;
    let changed = services.principals.set_password(&id, &hash).await.map_err(|error| Problem::without_app(&error))?;
    if changed { Ok(StatusCode::NO_CONTENT) } else { Err(missing(&name)) }
}
