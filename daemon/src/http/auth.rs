//! Who asks. For now there is one principal, the admin, and one token.

use super::problem::Problem;
use super::state::ApiState;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tidegate_core::PrincipalId;

/// Lets a request through if it bears the admin's token, and says who it is from.
pub(super) async fn require_token(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    match principal(&state, request.headers()) {
        Ok(principal) => {
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// Who sends these headers.
pub(super) fn principal(state: &ApiState, headers: &HeaderMap) -> Result<PrincipalId, Problem> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token =
        header.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match token {
        Some((_, token)) if state.admin_token.is(token.trim()) => Ok(admin()),
        Some(_) => Err(Problem::unauthorized("the bearer token is not valid")),
        None => Err(Problem::unauthorized("send the token as `authorization: Bearer tg_…`")),
    }
}

fn admin() -> PrincipalId {
    PrincipalId::new("admin").expect("a constant within the rule")
}
