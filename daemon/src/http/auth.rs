//! Who asks. For now there is one principal, the admin, and one token.

use super::problem::Problem;
use super::state::ApiState;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tidegate_core::PrincipalId;

/// Lets a request through if it bears the admin's token, and says who it is from.
pub(super) async fn require_token(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token =
        header.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let detail = match token {
        Some((_, token)) if state.admin_token.is(token.trim()) => {
            request.extensions_mut().insert(admin());
            return next.run(request).await;
        }
        Some(_) => "the bearer token is not valid",
        None => "send the token as `authorization: Bearer tg_…`",
    };
    Problem::new(401, "unauthorized", detail).into_response()
}

fn admin() -> PrincipalId {
    PrincipalId::new("admin").expect("a constant within the rule")
}
