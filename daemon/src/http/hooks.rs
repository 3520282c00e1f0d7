//! `ANY /http/{app}/{path}`: requests that HTTP triggers answer.

use super::auth;
use super::extract::{Ready, cause, name, whole};
use super::problem::Problem;
use super::reply::response;
use super::request::{Asked, data, segments};
use super::state::ApiState;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::{Access, AppName, EventType, Match, NewEvent, PrincipalId, Subject, SyncTarget, Trigger};

/// Who calls a public trigger.
const ANYBODY: &str = "anonymous";

pub(super) async fn answer(
    Ready(services): Ready,
    State(state): State<ApiState>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let (app, path) = segments(parts.uri.path());
    // An app that is not there and a path that nobody answers are one to a stranger.
    let nothing = || Problem::missing("not_found", format!("nothing answers {}", parts.uri.path()));
    let app: AppName = name(app).map_err(|_| nothing())?;
    let triggers = services.triggers.list(&app).await.map_err(|error| match Problem::port(&app, error) {
        problem if problem.is_missing() => nothing(),
        problem => problem,
    })?;
    let mut candidates = routes(&triggers, &path);
    let other_methods: BTreeSet<&str> = candidates.iter().map(|found| found.method).collect();
    candidates.retain(|found| found.is_for(&parts.method));
    let Some(found) = candidates.into_iter().min_by_key(|found| found.rank.clone()) else {
        return if other_methods.is_empty() { Err(nothing()) } else { Ok(not_allowed(&parts.method, &other_methods)) };
    };
    let principal = if found.public {
        PrincipalId::new(ANYBODY).expect("a constant within the rule")
    } else {
        let (principal, _) = auth::identify(&state, &parts.headers).await?;
        auth::check(&principal, Some(Access::Write), Some(&app))?;
        principal.id
    };
    let body = whole(body, state.limits.body_bytes_max).await?;
    let asked = Asked { parts: &parts, app: &app, params: &found.params, body: &body, hide_token: !found.public };
    let data = data(&asked);
    let (length, max) = (data.as_str().len(), state.limits.data_bytes_max);
    if length > max {
        let detail = format!("the request is {length} bytes long as an event, at most {max} are allowed");
        return Err(Problem::too_large(detail));
    }
    let event = NewEvent {
        event_type: EventType::new("http.request").expect("a constant within the rule"),
        subject: subject(&parts.method, &path),
        data,
    };
    let target = SyncTarget::Trigger(found.trigger.id);
    let called = services.caller.call_with_receipt(target, event, cause(principal, &parts.headers), None);
    Ok(response(called.await))
}

/// A trigger whose path is the one that was asked for.
struct Found<'a> {
    trigger: &'a Trigger,
    method: &'a str,
    params: BTreeMap<String, String>,
    rank: (Vec<u8>, bool),
    public: bool,
}

impl Found<'_> {
    fn is_for(&self, method: &Method) -> bool {
        self.method == "*" || self.method == method.as_str()
    }
}

fn routes<'a>(triggers: &'a [Trigger], segments: &[String]) -> Vec<Found<'a>> {
    let enabled = triggers.iter().filter(|trigger| trigger.spec.enabled);
    let found = enabled.filter_map(|trigger| match &trigger.spec.rule {
        Match::Http { method, path, public } => Some(Found {
            params: path.params(segments)?,
            trigger,
            method: method.as_str(),
            // Of two that are for the same path, the one that names the method.
            rank: (path.rank(), method.as_str() == "*"),
            public: *public,
        }),
        _ => None,
    });
    found.collect()
}

fn not_allowed(method: &Method, allowed: &BTreeSet<&str>) -> Response {
    let allowed = allowed.iter().copied().collect::<Vec<_>>().join(", ");
    let mut response = Problem::not_allowed(format!("{method} is not possible here, only {allowed}")).into_response();
    if let Ok(value) = HeaderValue::try_from(allowed) {
        response.headers_mut().insert(header::ALLOW, value);
    }
    response
}

/// `GET /orders/7`, without what a subject cannot hold.
fn subject(method: &Method, segments: &[String]) -> Subject {
    let text: String = format!("{method} /{}", segments.join("/")).chars().filter(|c| !c.is_control()).collect();
    let end = (0..=text.len().min(768)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    Subject::new(text.get(..end).unwrap_or_default()).expect("it is cut to a subject's length")
}
