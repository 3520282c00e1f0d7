//! Authenticates requests and checks their permissions.
//!
//! Each route of the API has an entry in the table of `permissions`. A route without an entry is
//! refused.

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

/// Passes a request on if its principal may make it. Handlers find the principal in the extensions.
pub(super) async fn authorize(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    let (principal, token) = match authenticate(&state, request.headers()).await {
        Ok(authenticated) => authenticated,
        Err(problem) => return problem.into_response(),
    };
    // A path without a route has no permission to check. The router answers 404.
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

/// Refuses a request that the principal may not make.
///
/// The refusal is the same whether the app exists or not, so that it does not show which apps
/// exist.
pub(super) fn check(principal: &Principal, access: Option<Access>, app: Option<&AppName>) -> Result<(), Problem> {
    let Some(access) = access else {
        return Err(Problem::forbidden(
            "the route has no entry in the permission table of the daemon, so every request to it is refused",
        ));
    };
    if principal.may(access, app) {
        return Ok(());
    }
    let id = &principal.id;
    Err(Problem::forbidden(match (access.role(), app) {
        (Some(role), Some(app)) => format!("{id} must have at least the role {role} in {app}; nothing was done"),
        (Some(_), None) => {
            format!("{id} has no permission, because the name of the app is not valid; nothing was done")
        }
        (None, _) if access == Access::Monitor => format!("{id} must be an admin or a monitor; nothing was done"),
        (None, _) => format!("{id} must be an admin; nothing was done"),
    }))
}

/// The app in the path, if the route has one and its name is valid.
fn app_of(route: &str, path: &str) -> Option<AppName> {
    let rest = route.strip_prefix("/v1/apps/{app}").and_then(|_| path.strip_prefix("/v1/apps/"))?;
    AppName::new(rest.split('/').next().unwrap_or_default()).ok()
}

/// The name of the request's token. `None` is the admin token of the configuration, which is not in
/// the store.
#[derive(Clone)]
pub(super) struct TokenName(pub(super) Option<String>);

/// The principal and the name of the token in these headers.
pub(super) async fn authenticate(
    state: &ApiState,
    headers: &HeaderMap,
) -> Result<(Principal, Option<String>), Problem> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token =
        header.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let Some((_, token)) = token else {
        return Err(Problem::unauthorized("the request has no bearer token; send it as `authorization: Bearer tg_…`"));
    };
    let token = token.trim();
    if state.admin_token.is(token) {
        return Ok((Principal::admin(PrincipalId::new("admin").expect("the constant is a valid id")), None));
    }
    let invalid = || Problem::unauthorized("the bearer token is not valid");
    // All tokens in the store begin with `tg_`. Other texts need no store call.
    if !token.starts_with("tg_") {
        return Err(invalid());
    }
    let services = match &*state.readiness.borrow() {
        Readiness::Ready(services) => services.clone(),
        Readiness::Unavailable(_) | Readiness::ShuttingDown => return Err(invalid()),
    };
    // The store compares digests, not texts. So the duration of the lookup does not depend on the
    // text of a valid token.
    let digest: [u8; 32] = Sha256::digest(token).into();
    let bearer =
        services.tokens.bearer(&digest).await.map_err(|error| Problem::without_app(&error))?.ok_or_else(invalid)?;
    let resolved = services.resolver.resolve(&bearer.principal).await.map_err(|error| Problem::without_app(&error))?;
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
    fn the_app_comes_from_the_path() {
        let app = |route, path| app_of(route, path).map(|app| app.to_string());
        assert_eq!(app("/v1/apps/{app}/kv/{collection}", "/v1/apps/a/kv/b").as_deref(), Some("a"));
        assert_eq!(app("/v1/apps/{app}", "/v1/apps/a").as_deref(), Some("a"));
        assert_eq!(app("/v1/apps/{app}", "/v1/apps/No.App"), None);
        assert_eq!(app("/v1/apps", "/v1/apps"), None);
        assert_eq!(app("/v1/users/{name}", "/v1/users/a"), None);
    }
}
