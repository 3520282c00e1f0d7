//! `/v1/tokens`. The text of a token is shown once, when it is created. The store keeps its digest.

use super::extract::{Params, Plain, Ready, Text};
use super::json::object;
use super::names::{checked_name, user_id};
use super::problem::Problem;
use crate::services::Services;
use crate::token::new_token;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tidegate_core::{Micros, PrincipalId, Timestamp};
use tidegate_ports::{NewPrincipal, NewToken, SESSION_PREFIX, TokenRecord};

const VALID_FOR_DAYS_MAX: u64 = 10 * 365;

pub(super) fn is_session(name: &str) -> bool {
    name.starts_with(SESSION_PREFIX)
}

pub(super) fn new_session_name() -> String {
    format!("{SESSION_PREFIX}{}", uuid::Uuid::new_v4())
}

/// A token that was created by this request. Its text is not known later.
pub(super) struct CreatedToken {
    record: TokenRecord,
    text: String,
}

impl CreatedToken {
    pub(super) async fn create(
        services: &Services,
        name: String,
        principal: PrincipalId,
        valid_for: Option<Micros>,
    ) -> Result<Self, Problem> {
        let text = new_token().map_err(|error| {
            Problem::internal(format!("the system returned no random bytes: {error}; no token was created"))
        })?;
        let digest = Sha256::digest(&text).into();
        let new = NewToken { name: name.clone(), principal, digest, valid_for };
        if !services.tokens.add_token(&new).await.map_err(|error| Problem::without_app(&error))? {
            let detail = format!("the token {name} exists already; nothing was changed");
            return Err(Problem::new(StatusCode::CONFLICT, "token_exists", detail));
        }
        let all = services.tokens.tokens().await.map_err(|error| Problem::without_app(&error))?;
        let record = all.into_iter().find(|token| token.name == name);
        record.map(|record| Self { record, text }).ok_or_else(|| missing(&name))
    }

    pub(super) fn view(&self) -> Value {
        let mut view = view(&self.record);
        view["token"] = json!(self.text);
        view
    }
}

fn view(token: &TokenRecord) -> Value {
    json!({
        "name": token.name,
        "principal": token.principal,
        "created_at": token.created_at.to_rfc3339(),
        "expires_at": token.expires_at.map(Timestamp::to_rfc3339),
    })
}

fn missing(name: &str) -> Problem {
    Problem::missing("token_not_found", format!("there is no token {name}"))
}

pub(super) async fn list(Ready(services): Ready, _: Plain) -> Result<Json<Value>, Problem> {
    let all = services.tokens.tokens().await.map_err(|error| Problem::without_app(&error))?;
    Ok(Json(json!({ "tokens": all.iter().map(view).collect::<Vec<_>>() })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenSpec {
    name: String,
    /// The user that the token acts as. Without a user the token acts as `token:NAME`.
    user: Option<String>,
    #[serde(default)]
    admin: bool,
    /// The token may read the metrics.
    #[serde(default)]
    monitor: bool,
    valid_for_days: Option<u64>,
}

pub(super) async fn create(Ready(services): Ready, _: Plain, Text(body): Text) -> Result<Response, Problem> {
    let TokenSpec { name, user, admin, monitor, valid_for_days } = object(&body, "a token")?;
    checked_name("a token", &name)?;
    if is_session(&name) {
        return Err(Problem::invalid(format!("names that begin with {SESSION_PREFIX} are reserved for sessions")));
    }
    if valid_for_days.is_some_and(|days| !(1..=VALID_FOR_DAYS_MAX).contains(&days)) {
        return Err(Problem::invalid(format!("valid_for_days must be from 1 to {VALID_FOR_DAYS_MAX}")));
    }
    let valid_for = valid_for_days.map(|days| Micros::from_secs(days * 24 * 3_600));
    let principal = match user {
        Some(_) if admin || monitor => {
            let detail = "a user's token has the permissions of the user; leave \"admin\" and \"monitor\" out";
            return Err(Problem::invalid(detail));
        }
        Some(user) => {
            let found =
                services.principals.get(&user_id(&user)?).await.map_err(|error| Problem::without_app(&error))?;
            found.ok_or_else(|| Problem::missing("user_not_found", format!("there is no user {user}")))?.id
        }
        None => {
            let id = PrincipalId::new(format!("token:{name}")).expect("a checked name makes a valid principal id");
            let new = NewPrincipal { id: id.clone(), admin, monitor, password_hash: None };
            services.principals.add(&new).await.map_err(|error| Problem::without_app(&error))?;
            services.resolver.forget(&id);
            id
        }
    };
    let created = CreatedToken::create(&services, name, principal, valid_for).await?;
    Ok((StatusCode::CREATED, Json(created.view())).into_response())
}

pub(super) async fn delete(
    Ready(services): Ready,
    _: Plain,
    Params(name): Params<String>,
) -> Result<StatusCode, Problem> {
    checked_name("a token", &name)?;
    let existed = services.tokens.delete_token(&name).await.map_err(|error| Problem::without_app(&error))?;
    if let Ok(id) = PrincipalId::new(format!("token:{name}")) {
        services.resolver.forget(&id);
    }
    if existed { Ok(StatusCode::NO_CONTENT) } else { Err(missing(&name)) }
}
