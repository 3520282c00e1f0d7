//! Refuses a path whose percent escapes are malformed or stand for NUL.
//!
//! `percent-encoding` leaves a malformed escape as it is written, so two paths could name one key.
//! No name contains a NUL, and Postgres cannot compare a text that does.

use super::problem::Problem;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;

pub(super) async fn refuse_malformed_escapes(request: Request, next: Next) -> Response {
    if is_well_escaped(request.uri().path()) {
        next.run(request).await
    } else {
        let rule = "each % must begin an escape of two hex digits, the decoded path must be UTF-8, and no name or key contains NUL";
        Problem::invalid(format!("the path cannot be decoded: {rule}")).into_response()
    }
}

/// Whether each `%` begins an escape, and the decoded path is UTF-8 without NUL.
fn is_well_escaped(path: &str) -> bool {
    let is_escape = |rest: &str| rest.as_bytes().get(..2).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
    path.split('%').skip(1).all(is_escape)
        && percent_decode_str(path).decode_utf8().is_ok_and(|decoded| !decoded.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_escapes_are_found() {
        for (path, ok) in [
            ("/a%2Fb", true),
            ("/%c3%bc", true),
            ("/%25%41", true),
            ("/ü%41", true),
            ("/%", false),
            ("/%2", false),
            ("/%zz", false),
            ("/%%41", false),
            ("/%4%41", false),
            ("/%4ü", false),
            ("/%ff", false),
            ("/%00", false),
            ("/a%2500", true),
        ] {
            assert_eq!(is_well_escaped(path), ok, "{path}");
        }
    }
}
