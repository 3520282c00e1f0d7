//! The HTTP API: JSON bodies, bearer tokens, and `application/problem+json` for every error.
//!
//! Each resource has a file. All resources use `problem` for errors, `auth` for tokens and
//! `extract` for requests.

mod apps;
mod auth;
mod body;
mod check;
mod connection;
mod connections;
mod dead_letters;
mod deliveries;
mod escapes;
mod etag;
mod events;
mod extract;
mod gate;
mod health;
mod hooks;
mod invoke;
mod json;
mod kv;
mod ledgers;
mod letter_actions;
mod listener;
mod login_limits;
mod metrics;
mod names;
mod paging;
mod panics;
mod password;
mod permissions;
mod problem;
mod prune;
mod receipt;
mod reply;
mod reply_stream;
mod request;
mod roles;
mod scripts;
mod sessions;
mod state;
mod tokens;
mod trace_context;
mod triggers;
mod unread;
mod users;
mod view;

pub use connections::ConnectionLimits;
pub use listener::serve_api;
pub use permissions::PERMISSIONS;
pub use state::{AdminToken, ApiState, HttpLimits, Logins, Readiness};

use axum::Router;
use axum::extract::Request;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{any, delete, get, post, put};
use problem::Problem;

/// The router of the whole API. Tests call it without a socket.
pub fn app(state: ApiState) -> Router {
    let app = "/v1/apps/{app}";
    let api = Router::new()
        .route("/v1/version", get(health::version))
        .route("/v1/whoami", get(sessions::whoami))
        .route("/v1/logout", post(sessions::logout))
        .route("/v1/users", get(users::list))
        .route("/v1/users/{name}", get(users::get).put(users::put).delete(users::delete))
        .route("/v1/users/{name}/disable", post(users::disable))
        .route("/v1/users/{name}/enable", post(users::enable))
        .route("/v1/users/{name}/password", put(users::set_password))
        .route("/v1/tokens", get(tokens::list).post(tokens::create))
        .route("/v1/tokens/{name}", delete(tokens::delete))
        .route("/v1/apps", get(apps::list))
        .route(app, put(apps::deploy))
        .route(&format!("{app}/kv/{{collection}}"), get(kv::list))
        .route(&format!("{app}/kv/{{collection}}/{{*key}}"), get(kv::get).put(kv::put).delete(kv::delete))
        .route("/metrics", get(metrics::get))
        .route("/v1/prune", post(prune::prune))
        .route("/v1/gate", get(gate::get).patch(gate::patch))
        .route(&format!("{app}/events"), post(events::emit))
        .route(&format!("{app}/invoke/{{script}}"), post(invoke::invoke))
        .route(&format!("{app}/scripts"), get(scripts::list))
        .route(&format!("{app}/scripts/{{name}}"), get(scripts::get).put(scripts::put).delete(scripts::delete))
        .route(&format!("{app}/triggers"), get(triggers::list))
        .route(&format!("{app}/triggers/{{name}}"), get(triggers::get).put(triggers::put).delete(triggers::delete))
        .route(&format!("{app}/triggers/{{name}}/pause"), post(triggers::pause))
        .route(&format!("{app}/triggers/{{name}}/resume"), post(triggers::resume))
        .route(&format!("{app}/deliveries"), get(deliveries::list))
        .route(&format!("{app}/deliveries/{{id}}"), get(deliveries::get))
        .route(&format!("{app}/dead-letters"), get(dead_letters::list))
        .route(&format!("{app}/dead-letters/redrive"), post(letter_actions::redrive))
        .route(&format!("{app}/dead-letters/discard"), post(letter_actions::discard))
        .route(&format!("{app}/dead-letters/{{id}}"), get(dead_letters::get))
        .route(&format!("{app}/dead-letters/{{id}}/redrive"), post(letter_actions::redrive_one))
        .route(&format!("{app}/dead-letters/{{id}}/discard"), post(letter_actions::discard_one))
        .route(&format!("{app}/roles"), get(roles::list))
        .route(&format!("{app}/roles/{{principal}}"), put(roles::put).delete(roles::delete))
        .route(&format!("{app}/loops"), get(ledgers::loops))
        .route(&format!("{app}/abandoned"), get(ledgers::abandoned))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(state.clone(), auth::authorize));
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .method_not_allowed_fallback(method_not_allowed)
        .route("/v1/login", post(sessions::login))
        .route("/http/{app}", any(hooks::answer))
        .route("/http/{app}/", any(hooks::answer))
        .route("/http/{app}/{*path}", any(hooks::answer))
        .merge(api)
        .fallback(not_found)
        .layer(from_fn(escapes::refuse_malformed_escapes))
        .layer(from_fn(panics::catch_panic))
        .layer(from_fn(unread::drain_request_body))
        .with_state(state)
}

async fn not_found(request: Request) -> Problem {
    Problem::missing("not_found", format!("no route matches the path {}", request.uri().path()))
}

async fn method_not_allowed(request: Request) -> Problem {
    Problem::not_allowed(format!("the path {} does not accept the method {}", request.uri().path(), request.method()))
}
