//! `/v1/apps/{app}/roles`: the roles of principals in an app.

use super::extract::{Params, Plain, Ready, Requester, Text, name};
use super::json::object;
use super::problem::Problem;
use crate::services::Services;
use axum::Json;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_core::{AppName, PrincipalId, Role};

pub(super) async fn list(
    Ready(services): Ready,
    _: Plain,
    Params(app): Params<String>,
) -> Result<Json<Value>, Problem> {
    let app: AppName = name(app)?;
    let all = services.principals.list().await.map_err(|error| Problem::without_app(&error))?;
    let of_app =
        all.iter().filter_map(|record| Some(json!({ "principal": record.id, "role": record.roles.get(&app)? })));
    Ok(Json(json!({ "roles": of_app.collect::<Vec<_>>() })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleGrant {
    role: Role,
}

pub(super) async fn put(
    Ready(services): Ready,
    Requester(requester): Requester,
    _: Plain,
    Params((app, principal)): Params<(String, String)>,
    Text(body): Text,
) -> Result<StatusCode, Problem> {
    let RoleGrant { role } = object(&body, "a role")?;
    set(&services, &requester, &app, &principal, Some(role)).await
}

pub(super) async fn delete(
    Ready(services): Ready,
    Requester(requester): Requester,
    _: Plain,
    Params((app, principal)): Params<(String, String)>,
) -> Result<StatusCode, Problem> {
    set(&services, &requester, &app, &principal, None).await
}

async fn set(
    services: &Services,
    requester: &PrincipalId,
    app: &str,
    principal: &str,
    role: Option<Role>,
) -> Result<StatusCode, Problem> {
    let (app, id): (AppName, PrincipalId) = (name(app)?, name(principal)?);
    // A principal that lowers its own role by mistake could not raise it again.
    if id == *requester {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "own_role",
            "a principal cannot change its own role; nothing was changed",
        ));
    }
    if !services.apps.exists(&app).await.map_err(|error| Problem::in_app(&app, error))? {
        return Err(Problem::missing("unknown_app", format!("there is no app {app}; `tidegate deploy` creates it")));
    }
    let changed = services.principals.set_role(&id, &app, role).await.map_err(|error| Problem::without_app(&error))?;
    services.resolver.forget(&id);
    let missing =
        || Problem::missing("principal_not_found", format!("there is no principal {id}; nothing was changed"));
    if changed { Ok(StatusCode::NO_CONTENT) } else { Err(missing()) }
}
