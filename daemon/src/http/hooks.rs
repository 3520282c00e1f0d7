//! `ANY /http/{app}/{path}`: requests to HTTP triggers.

use super::auth;
use super::connection::CallerConnection;
use super::extract::{Ready, name, read_body};
use super::problem::Problem;
use super::reply::response;
use super::request::{HttpCall, data, segments};
use super::state::ApiState;
use super::trace_context::cause;
use crate::services::Services;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::{Access, AppName, EventType, Match, NewEvent, PrincipalId, Subject, SyncTarget, Trigger};

/// The principal of a request to a public trigger.
const ANONYMOUS: &str = "anonymous";

pub(super) async fn answer(
    ready: Result<Ready, Problem>,
    State(state): State<ApiState>,
    request: Request,
) -> Result<Response, Problem> {
    let mut is_member = false;
    let answered = match ready {
        Ok(Ready(services)) => call(&services, &state, request, &mut is_member).await,
        Err(problem) => Err(problem),
    };
    answered.map_err(|problem| if is_member { problem } else { problem.without_reason() })
}

/// Calls the trigger that matches the request. `is_member` becomes true when the caller has proved
/// to be a member of the app.
async fn call(
    services: &Services,
    state: &ApiState,
    request: Request,
    is_member: &mut bool,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let (app, path) = segments(parts.uri.path());
    // An app that does not exist and a path without a trigger get the same answer, so that the
    // answer does not show which apps exist.
    let not_found = || Problem::missing("not_found", format!("no HTTP trigger matches the path {}", parts.uri.path()));
    let app: AppName = name(app).map_err(|_| not_found())?;
    let triggers = services.triggers.list(&app).await.map_err(|error| match Problem::in_app(&app, error) {
        problem if problem.is_missing() => not_found(),
        problem => problem,
    })?;
    let mut routes = routes(&triggers, &path);
    let methods: BTreeSet<&str> = routes.iter().flat_map(Route::methods).collect();
    routes.retain(|route| route.accepts(&parts.method));
    let Some(route) = routes.into_iter().min_by_key(|route| route.rank.clone()) else {
        return if methods.is_empty() { Err(not_found()) } else { Ok(not_allowed(&parts.method, &methods)) };
    };
    let principal = if route.public {
        PrincipalId::new(ANONYMOUS).expect("the constant is a valid id")
    } else {
        let (principal, _) = auth::authenticate(state, &parts.headers).await?;
        auth::check(&principal, Some(Access::Write), Some(&app))?;
        *is_member = true;
        principal.id
    };
    let body = read_body(body, state.limits).await?;
    let call = HttpCall { parts: &parts, app: &app, params: &route.params, body: &body, hide_token: !route.public };
    let data = data(&call);
    let (length, max) = (data.as_str().len(), state.limits.data_bytes_max);
    if length > max {
        let detail = format!(
            "the request makes an event of {length} bytes, but at most {max} bytes are allowed (scripts.data_bytes_max); nothing was started"
        );
        return Err(Problem::too_large(detail));
    }
    let event = NewEvent {
        event_type: EventType::new("http.request").expect("the constant is a valid type"),
        subject: subject(&parts.method, &path),
        data,
    };
    let target = SyncTarget::Trigger { app: app.clone(), id: route.trigger.id };
    let called = services.caller.call_with_receipt(target, event, cause(principal, &parts.headers), None);
    let is_public = route.public;
    Ok(response(
        called.await,
        CallerConnection::of(&parts),
        |problem| {
            if is_public { problem.without_reason() } else { problem }
        },
    ))
}

/// A trigger whose path matches the request.
struct Route<'a> {
    trigger: &'a Trigger,
    method: &'a str,
    params: BTreeMap<String, String>,
    rank: (Vec<u8>, bool, bool),
    public: bool,
}

impl<'a> Route<'a> {
    fn accepts(&self, method: &Method) -> bool {
        self.method == "*" || self.methods().any(|own| own == method.as_str())
    }

    /// A `GET` trigger also answers `HEAD`. The server does not send the body of its reply.
    fn methods(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        std::iter::once(self.method).chain((self.method == "GET").then_some("HEAD"))
    }
}

fn routes<'a>(triggers: &'a [Trigger], segments: &[String]) -> Vec<Route<'a>> {
    let enabled = triggers.iter().filter(|trigger| trigger.spec.enabled);
    let routes = enabled.filter_map(|trigger| match &trigger.spec.rule {
        Match::Http { method, path, public } => Some(Route {
            params: path.params(segments)?,
            trigger,
            method: method.as_str(),
            // Of two equal paths the path of the trigger that names the method comes first, and of
            // these the trigger that names `HEAD` before the one that names `GET`.
            rank: (path.rank(), method.as_str() == "*", method.as_str() == "GET"),
            public: *public,
        }),
        _ => None,
    });
    routes.collect()
}

fn not_allowed(method: &Method, allowed: &BTreeSet<&str>) -> Response {
    let allowed = allowed.iter().copied().collect::<Vec<_>>().join(", ");
    let mut response =
        Problem::not_allowed(format!("this path does not accept the method {method}; it accepts {allowed}"))
            .into_response();
    if let Ok(value) = HeaderValue::try_from(allowed) {
        response.headers_mut().insert(header::ALLOW, value);
    }
    response
}

/// Such as `GET /orders/7`. Control characters are removed, and the text is cut to 768 bytes.
fn subject(method: &Method, segments: &[String]) -> Subject {
    let text: String = format!("{method} /{}", segments.join("/")).chars().filter(|c| !c.is_control()).collect();
    let end = (0..=text.len().min(768)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    Subject::new(text.get(..end).unwrap_or_default()).expect("the text has no control characters and at most 768 bytes")
}
