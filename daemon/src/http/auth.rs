//! Who asks, and whether they may. Every route of the API has its line in the table of `permissions`; one without is refused.

use super::permissions::required;
use super::problem::Problem;
use super::state::{ApiState, Readiness};
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use tidegate_core::{Access, AppName, Principal, PrincipalId};
use tidegate_ports::PrincipalResolver;

/// Lets a request through if its bearer may make it, and says who it is from.
pub(super) async fn authorize(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    let (principal, token) = match identify(&state, request.headers()).await {
        Ok(identified) => identified,
        Err(problem) => return problem.into_response(),
    };
    // A path that nobody answers has no route, and is answered so.
    if let Some(route) = request.extensions().get::<MatchedPath>() {
        let app = app_of(route.as_str(), request.uri().path());
        if let Err(problem) = check(&principal, required(request.method(), route.as_str()), app.as_ref()) {
            return problem.into_response();
        }
    }
    request.extensions_mut().insert(principal.id.clone());
    request.extensions_mut().insert(principal);
    request.extensions_mut().insert(TokenName(token));
    next.run(request).await
}

/// Refuses what the principal may not do. Whether an app is there is not told to who may not read it.
pub(super) fn check(principal: &Principal, access: Option<Access>, app: Option<&AppName>) -> Result<(), Problem> {
    let Some(access) = access else {
        return Err(Problem::forbidden("nobody may do this: the route has no permission in this program's table"));
    };
    if principal.may(access, app) {
        return Ok(());
    }
    let who = &principal.id;
    Err(Problem::forbidden(match (access.role(), app) {
        (Some(role), Some(app)) => format!("{who} would have to be at least {role} of {app}; nothing was done"),
        (Some(_), None) => format!("{who} may not do this in an app whose name is not valid; nothing was done"),
        (None, _) => format!("{who} would have to be an admin; nothing was done"),
    }))
}

/// The app that a path names, if the route has one.
fn app_of(route: &str, path: &str) -> Option<AppName> {
    let rest = route.strip_prefix("/v1/apps/{app}").and_then(|_| path.strip_prefix("/v1/apps/"))?;
    AppName::new(rest.split('/').next().unwrap_or_default()).ok()
}

/// The name of the token that a request bears; the admin's own is in no store.
#[derive(Clone)]
pub(super) struct TokenName(pub(super) Option<String>);

/// Who sends these headers, and by which token.
pub(super) async fn identify(state: &ApiState, headers: &HeaderMap) -> Result<(Principal, Option<String>), Problem> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token =
        header.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let Some((_, token)) = token else {
        return Err(Problem::unauthorized("send the token as `authorization: Bearer tg_…`"));
    };
    let token = token.trim();
    if state.admin_token.is(token) {
        return Ok((Principal::admin(PrincipalId::new("admin").expect("a constant within the rule")), None));
    }
    let invalid = || Problem::unauthorized("the bearer token is not valid");
    // What is no token of ours need not be looked up.
    if !token.starts_with("tg_") {
        return Err(invalid());
    }
    let services = match &*state.readiness.borrow() {
        Readiness::Ready(services) => services.clone(),
        Readiness::Unavailable(_) | Readiness::ShuttingDown => return Err(invalid()),
    };
    // The digest is what is compared, and an index finds it: how long that takes tells nothing of the token's text.
    let digest: [u8; 32] = Sha256::digest(token).into();
    let bearer =
        services.tokens.bearer(&digest).await.map_err(|error| Problem::portless(&error))?.ok_or_else(invalid)?;
    let resolved = services.resolver.resolve(&bearer.principal).await.map_err(|error| Problem::portless(&error))?;
    Ok((resolved.ok_or_else(invalid)?, Some(bearer.token)))
}

impl Problem {
    fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_app_is_read_from_the_path() {
        let app = |route, path| app_of(route, path).map(|app| app.to_string());
        assert_eq!(app("/v1/apps/{app}/kv/{collection}", "/v1/apps/a/kv/b").as_deref(), Some("a"));
        assert_eq!(app("/v1/apps/{app}", "/v1/apps/a").as_deref(), Some("a"));
        assert_eq!(app("/v1/apps/{app}", "/v1/apps/No.App"), None);
        assert_eq!(app("/v1/apps", "/v1/apps"), None);
        assert_eq!(app("/v1/users/{name}", "/v1/users/a"), None);
    }
}
