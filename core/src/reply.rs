//! The check that the reply of a sync handler can be sent.

use crate::delivery::Delivery;
use crate::event::Source;
use crate::outcome::{ExecError, Failure, Outcome};

/// Turns a success into a failure if its reply cannot be sent as an HTTP response. Without a reply
/// the effects must not be applied.
pub(crate) fn check_reply(delivery: &Delivery, outcome: Outcome) -> Outcome {
    let Outcome::Succeeded { reply, .. } = &outcome else { return outcome };
    let problem = match reply {
        Some(reply) if !(200..=599).contains(&reply.status) => {
            format!("its status is {}, which is not from 200 to 599", reply.status)
        }
        Some(reply) if reply.headers.iter().any(|(name, value)| !is_header(name, value)) => {
            "one of its headers is invalid or reserved".to_owned()
        }
        None if is_request(delivery) => "it is missing".to_owned(),
        _ => return outcome,
    };
    let rule = "nothing was applied; return { status, headers, body }";
    Outcome::Failed(Failure::new(ExecError::InvalidReply, format!("the reply cannot be sent: {problem}; {rule}")))
}

/// Whether a handler may send this header. The server itself sets the headers that frame the
/// message.
fn is_header(name: &str, value: &str) -> bool {
    const FRAMING: [&str; 6] = ["connection", "content-length", "keep-alive", "te", "transfer-encoding", "upgrade"];
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_name = (1..=256).contains(&name.len()) && name.bytes().all(is_token);
    let is_value = value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte));
    is_name && is_value && !FRAMING.contains(&name.to_ascii_lowercase().as_str())
}

/// Whether the delivery is a request to an HTTP trigger. Its handler must return a response.
fn is_request(delivery: &Delivery) -> bool {
    delivery.event.source == Source::Http && delivery.event.event_type.as_str() == "http.request"
}
