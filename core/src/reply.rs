//! The check of a sync handler's reply.

use crate::delivery::Delivery;
use crate::event::Source;
use crate::outcome::{ExecError, Failure, Outcome};

/// Makes a success whose reply is no HTTP response a failure: what cannot be sent must not be applied either.
pub(crate) fn check_reply(delivery: &Delivery, outcome: Outcome) -> Outcome {
    let Outcome::Succeeded { reply, .. } = &outcome else { return outcome };
    let wrong = match reply {
        Some(reply) if !(200..=599).contains(&reply.status) => format!("{} is no status from 200 to 599", reply.status),
        Some(reply) if reply.headers.iter().any(|(name, value)| !is_header(name, value)) => {
            "one of its headers cannot be sent".to_owned()
        }
        None if is_request(delivery) => "the handler returned nothing".to_owned(),
        _ => return outcome,
    };
    let rule = "a handler of HTTP requests returns { status, headers, body }";
    Outcome::Failed(Failure::new(ExecError::InvalidReply, format!("{wrong}; {rule}")))
}

/// Whether a header can be sent and is the handler's to say: how the message is framed is not.
fn is_header(name: &str, value: &str) -> bool {
    const FRAMING: [&str; 6] = ["connection", "content-length", "keep-alive", "te", "transfer-encoding", "upgrade"];
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_name = (1..=256).contains(&name.len()) && name.bytes().all(is_token);
    let is_value = value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte));
    is_name && is_value && !FRAMING.contains(&name.to_ascii_lowercase().as_str())
}

/// Whether it is for an HTTP trigger, whose answer has to be a response.
fn is_request(delivery: &Delivery) -> bool {
    delivery.event.source == Source::Http && delivery.event.event_type.as_str() == "http.request"
}
