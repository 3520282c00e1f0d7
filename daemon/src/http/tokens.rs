//! `/v1/tokens`: made once, shown once, kept as their digest.

use super::extract::{Params, Plain, Ready, Text, object};
use super::problem::Problem;
use super::users::user;
use crate::services::Services;
use crate::token::new_token;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tidegate_core::{Micros, PrincipalId, Timestamp};
use tidegate_ports::{NewPrincipal, NewToken, TokenRecord};

/// Sessions have names of their own, which nobody else's token can have.
const SESSION_PREFIX: &str = "session.";
/// Ten years.
const DAYS_MAX: u64 = 3_650;

/// A name that is one word of a path.
pub(super) fn checked_name<'a>(what: &str, name: &'a str) -> Result<&'a str, Problem> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"_-@.".contains(&byte);
    let is_name = (1..=64).contains(&name.len()) && name.bytes().all(is_word) && !name.starts_with('.');
    let rule = "is 1–64 of letters, digits, '.', '_', '-' and '@', not beginning with '.'";
    if is_name { Ok(name) } else { Err(Problem::invalid(format!("the name of {what} {rule}"))) }
}

pub(super) fn is_session(name: &str) -> bool {
    name.starts_with(SESSION_PREFIX)
}

pub(super) fn session_name() -> String {
    format!("{SESSION_PREFIX}{}", uuid::Uuid::new_v4())
}

/// A token that was made just now: the only moment at which its text is known.
pub(super) struct MadeToken {
    record: TokenRecord,
    text: String,
}

impl MadeToken {
    pub(super) async fn of(
        services: &Services,
        name: String,
        principal: PrincipalId,
        valid_for: Option<Micros>,
    ) -> Result<Self, Problem> {
        let text = new_token().map_err(|error| Problem::internal(format!("there is no randomness: {error}")))?;
        let digest = Sha256::digest(&text).into();
        let new = NewToken { name: name.clone(), principal, digest, valid_for };
        if !services.tokens.add_token(&new).await.map_err(|error| Problem::portless(&error))? {
            let detail = format!("there is a token {name} already; nothing was changed");
            return Err(Problem::new(StatusCode::CONFLICT, "token_exists", detail));
        }
        let all = services.tokens.tokens().await.map_err(|error| Problem::portless(&error))?;
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
    let all = services.tokens.tokens().await.map_err(|error| Problem::portless(&error))?;
    Ok(Json(json!({ "tokens": all.iter().map(view).collect::<Vec<_>>() })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    name: String,
    /// Whose it is. Without one it acts for itself, as `token:NAME`.
    user: Option<String>,
    #[serde(default)]
    admin: bool,
    valid_for_days: Option<u64>,
}

pub(super) async fn create(Ready(services): Ready, _: Plain, Text(body): Text) -> Result<Response, Problem> {
    let Asked { name, user: owner, admin, valid_for_days } = object(&body, "a token")?;
    checked_name("a token", &name)?;
    if is_session(&name) {
        return Err(Problem::invalid(format!("names that begin with {SESSION_PREFIX} are those of sessions")));
    }
    if valid_for_days.is_some_and(|days| !(1..=DAYS_MAX).contains(&days)) {
        return Err(Problem::invalid(format!("valid_for_days must be from 1 to {DAYS_MAX}")));
    }
    let valid_for = valid_for_days.map(|days| Micros::from_secs(days * 24 * 3_600));
    let principal = match owner {
        Some(_) if admin => {
            return Err(Problem::invalid("a user's token may do what the user may; leave \"admin\" out"));
        }
        Some(owner) => {
            let id = user(&owner)?;
            let found = services.principals.get(&id).await.map_err(|error| Problem::portless(&error))?;
            found.ok_or_else(|| Problem::missing("user_not_found", format!("there is no user {owner}")))?.id
        }
        None => {
            let id = PrincipalId::new(format!("token:{name}")).expect("a short word");
            let new = NewPrincipal { id: id.clone(), admin, password_hash: None };
            services.principals.add(&new).await.map_err(|error| Problem::portless(&error))?;
            services.resolver.forget(&id);
            id
        }
    };
    let made = MadeToken::of(&services, name, principal, valid_for).await?;
    Ok((StatusCode::CREATED, Json(made.view())).into_response())
}

pub(super) async fn delete(
    Ready(services): Ready,
    _: Plain,
    Params(name): Params<String>,
) -> Result<StatusCode, Problem> {
    let was_there = services.tokens.delete_token(&name).await.map_err(|error| Problem::portless(&error))?;
    if let Ok(id) = PrincipalId::new(format!("token:{name}")) {
        services.resolver.forget(&id);
    }
    if was_there { Ok(StatusCode::NO_CONTENT) } else { Err(missing(&name)) }
}
