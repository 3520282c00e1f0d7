//! The trace context of a request: its `traceparent` header.

use axum::http::HeaderMap;
use tidegate_core::{Cause, PrincipalId};

/// The cause of the events that a request emits.
///
/// An invalid `traceparent` is ignored, as its specification requires.
pub(super) fn cause(principal: PrincipalId, headers: &HeaderMap) -> Cause {
    let traceparent = headers.get("traceparent").and_then(|value| value.to_str().ok());
    Cause {
        traceparent: traceparent.filter(|text| is_traceparent(text)).map(str::to_owned),
        ..Cause::outside(principal)
    }
}

/// Version 00 of <https://www.w3.org/TR/trace-context/#traceparent-header>.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let is_hex = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let is_set = |text: &str| text.bytes().any(|b| b != b'0');
    matches!(parts[..], ["00", trace, span, flags]
        if (trace.len(), span.len(), flags.len()) == (32, 16, 2)
            && parts.iter().all(|part| is_hex(part)) && is_set(trace) && is_set(span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_valid_traceparent_of_version_00_is_accepted() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        for (text, ok) in [
            (format!("00-{trace}-00f067aa0ba902b7-01"), true),
            (format!("01-{trace}-00f067aa0ba902b7-01"), false),
            (format!("00-{trace}-0000000000000000-01"), false),
            (format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()), false),
            (format!("00-{trace}-00f067aa0ba902b7"), false),
            ("x".to_owned(), false),
        ] {
            assert_eq!(is_traceparent(&text), ok, "{text}");
        }
    }
}
