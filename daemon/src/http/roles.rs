//! `/v1/apps/{app}/roles`: who is what to an app.

use super::extract::{By, Params, Plain, Ready, Text, name, object};
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
    let all = services.principals.list().await.map_err(|error| Problem::portless(&error))?;
    let of_app = all.iter().filter_map(|one| Some(json!({ "principal": one.id, "role": one.roles.get(&app)? })));
    Ok(Json(json!({ "roles": of_app.collect::<Vec<_>>() })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    role: Role,
}

pub(super) async fn put(
    Ready(services): Ready,
    By(by): By,
    _: Plain,
    Params((app, principal)): Params<(String, String)>,
    Text(body): Text,
) -> Result<StatusCode, Problem> {
    let Given { role } = object(&body, "a role")?;
    set(&services, &by, &app, &principal, Some(role)).await
}

pub(super) async fn delete(
    Ready(services): Ready,
    By(by): By,
    _: Plain,
    Params((app, principal)): Params<(String, String)>,
) -> Result<StatusCode, Problem> {
    set(&services, &by, &app, &principal, None).await
}

async fn set(
    services: &Services,
    by: &PrincipalId,
    app: &str,
    principal: &str,
    role: Option<Role>,
) -> Result<StatusCode, Problem> {
    let (app, id): (AppName, PrincipalId) = (name(app)?, name(principal)?);
    // Nobody shuts the door behind themselves by mistake.
    if id == *by {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "own_role",
            "nobody changes their own role; nothing was changed",
        ));
    }
    if !services.apps.exists(&app).await.map_err(|error| Problem::port(&app, error))? {
        return Err(Problem::missing("unknown_app", format!("there is no app {app}; `tidegate deploy` makes one")));
    }
    let changed = services.principals.set_role(&id, &app, role).await.map_err(|error| Problem::portless(&error))?;
    services.resolver.forget(&id);
    let missing =
        || Problem::missing("principal_not_found", format!("there is no principal {id}; nothing was changed"));
    if changed { Ok(StatusCode::NO_CONTENT) } else { Err(missing()) }
}
