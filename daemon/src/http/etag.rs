//! Versions as `ETag` headers, and preconditions on them.

use super::problem::Problem;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tidegate_core::Version;
use tidegate_ports::Guard;

pub(super) fn etag(version: i64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).expect("digits and quotes are visible ASCII")
}

/// Whether `If-None-Match` has this ETag, so that the caller needs no body.
pub(super) fn is_unchanged(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.as_bytes() == etag.as_bytes())
}

pub(super) fn not_modified(etag: HeaderValue) -> Response {
    (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response()
}

/// The precondition of a mutation: `If-Match: "7"`, or `If-None-Match: *` on a put.
pub(super) fn guard(method: &Method, headers: &HeaderMap) -> Result<Guard, Problem> {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default().trim());
    match (text(header::IF_MATCH), text(header::IF_NONE_MATCH)) {
        (None, None) => Ok(Guard::Any),
        (None, Some("*")) if method == Method::PUT => Ok(Guard::Absent),
        (Some(tag), None) => version(tag).map(Guard::Version).ok_or_else(|| {
            Problem::invalid("If-Match must be one ETag of an earlier response with its quotes, such as \"7\"")
        }),
        (None, Some(_)) => {
            Err(Problem::invalid("If-None-Match is supported only on PUT and only as *: the key must not exist"))
        }
        (Some(_), Some(_)) => Err(Problem::invalid("send If-Match or If-None-Match, not both")),
    }
}

fn version(tag: &str) -> Option<Version> {
    tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok().map(Version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_is_read_from_the_headers() {
        let guard = |method, if_match: Option<&str>, if_none_match: Option<&str>| {
            let mut headers = HeaderMap::new();
            for (name, value) in [(header::IF_MATCH, if_match), (header::IF_NONE_MATCH, if_none_match)] {
                value.map(|value| headers.insert(name, value.parse().unwrap()));
            }
            super::guard(&method, &headers).ok()
        };
        for (method, if_match, if_none_match, expected) in [
            (Method::PUT, None, None, Some(Guard::Any)),
            (Method::PUT, Some("\"7\""), None, Some(Guard::Version(Version(7)))),
            (Method::DELETE, Some("\"7\""), None, Some(Guard::Version(Version(7)))),
            (Method::PUT, None, Some("*"), Some(Guard::Absent)),
            (Method::DELETE, None, Some("*"), None),
            (Method::PUT, None, Some("\"7\""), None),
            (Method::PUT, Some("7"), None, None),
            (Method::PUT, Some("W/\"7\""), None, None),
            (Method::PUT, Some("*"), None, None),
            (Method::PUT, Some("\"7\", \"8\""), None, None),
            (Method::PUT, Some("\"7\""), Some("*"), None),
        ] {
            assert_eq!(
                guard(method.clone(), if_match, if_none_match),
                expected,
                "{method} {if_match:?} {if_none_match:?}"
            );
        }
    }
}
