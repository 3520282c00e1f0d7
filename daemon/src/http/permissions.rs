//! The permission that each route needs.
//!
//! Every request to a route that is not in the table is refused.

use axum::http::Method;
use tidegate_core::Access::{self, Administer, Identify, Manage, Monitor, Read, Write};

/// A route, and the permission that each of its methods needs.
type RoutePermissions = (&'static str, &'static [(Method, Access)]);

const GET: Method = Method::GET;
const PUT: Method = Method::PUT;
const POST: Method = Method::POST;
const PATCH: Method = Method::PATCH;
const DELETE: Method = Method::DELETE;

/// All routes that need a token.
pub const PERMISSIONS: &[RoutePermissions] = &[
    ("/metrics", &[(GET, Monitor)]),
    ("/v1/version", &[(GET, Identify)]),
    ("/v1/whoami", &[(GET, Identify)]),
    ("/v1/logout", &[(POST, Identify)]),
    ("/v1/gate", &[(GET, Administer), (PATCH, Administer)]),
    ("/v1/prune", &[(POST, Administer)]),
    ("/v1/users", &[(GET, Administer)]),
    ("/v1/users/{name}", &[(GET, Administer), (PUT, Administer), (DELETE, Administer)]),
    ("/v1/users/{name}/disable", &[(POST, Administer)]),
    ("/v1/users/{name}/enable", &[(POST, Administer)]),
    ("/v1/users/{name}/password", &[(PUT, Administer)]),
    ("/v1/tokens", &[(GET, Administer), (POST, Administer)]),
    ("/v1/tokens/{name}", &[(DELETE, Administer)]),
    // The list has only the apps that the principal may read.
    ("/v1/apps", &[(GET, Identify)]),
    ("/v1/apps/{app}", &[(PUT, Write)]),
    ("/v1/apps/{app}/roles", &[(GET, Manage)]),
    ("/v1/apps/{app}/roles/{principal}", &[(PUT, Manage), (DELETE, Manage)]),
    ("/v1/apps/{app}/kv/{collection}", &[(GET, Read)]),
    ("/v1/apps/{app}/kv/{collection}/{*key}", &[(GET, Read), (PUT, Write), (DELETE, Write)]),
    ("/v1/apps/{app}/events", &[(POST, Write)]),
    ("/v1/apps/{app}/invoke/{script}", &[(POST, Write)]),
    ("/v1/apps/{app}/scripts", &[(GET, Read)]),
    ("/v1/apps/{app}/scripts/{name}", &[(GET, Read), (PUT, Write), (DELETE, Write)]),
    ("/v1/apps/{app}/triggers", &[(GET, Read)]),
    ("/v1/apps/{app}/triggers/{name}", &[(GET, Read), (PUT, Write), (DELETE, Write)]),
    ("/v1/apps/{app}/triggers/{name}/pause", &[(POST, Write)]),
    ("/v1/apps/{app}/triggers/{name}/resume", &[(POST, Write)]),
    ("/v1/apps/{app}/deliveries", &[(GET, Read)]),
    ("/v1/apps/{app}/deliveries/{id}", &[(GET, Read)]),
    ("/v1/apps/{app}/dead-letters", &[(GET, Read)]),
    ("/v1/apps/{app}/dead-letters/{id}", &[(GET, Read)]),
    ("/v1/apps/{app}/dead-letters/redrive", &[(POST, Write)]),
    ("/v1/apps/{app}/dead-letters/discard", &[(POST, Write)]),
    ("/v1/apps/{app}/dead-letters/{id}/redrive", &[(POST, Write)]),
    ("/v1/apps/{app}/dead-letters/{id}/discard", &[(POST, Write)]),
    ("/v1/apps/{app}/loops", &[(GET, Read)]),
    ("/v1/apps/{app}/abandoned", &[(GET, Read)]),
];

/// The permission that a request needs. `None` if the route is not in the table.
///
/// A method that the route does not have needs only a valid token. The router answers 405.
pub(super) fn required(method: &Method, route: &str) -> Option<Access> {
    let (_, methods) = PERMISSIONS.iter().find(|(known, _)| *known == route)?;
    let method = if method == Method::HEAD { &Method::GET } else { method };
    Some(methods.iter().find(|(known, _)| known == method).map_or(Identify, |(_, access)| *access))
}
