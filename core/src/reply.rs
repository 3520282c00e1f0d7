//! The check that the reply of a sync handler can be sent.

use crate::delivery::Delivery;
use crate::event::Source;
use crate::outcome::{ExecError, Failure, HandlerReply, Outcome};

/// Turns a success into a failure if its reply cannot be sent as an HTTP response. Without a reply
/// the effects must not be applied.
pub(crate) fn check_reply(delivery: &Delivery, outcome: Outcome) -> Outcome {
    let Outcome::Succeeded { reply, .. } = &outcome else { return outcome };
    let problem = match reply {
        Some(reply) => problem_of(reply),
        None => is_request(delivery).then(|| "it is missing".to_owned()),
    };
    let Some(problem) = problem else { return outcome };
    let rule = "nothing was applied; return { status, headers, body }";
    Outcome::Failed(Failure::new(ExecError::InvalidReply, format!("the reply cannot be sent: {problem}; {rule}")))
}

/// The reason why a reply cannot be sent.
fn problem_of(reply: &HandlerReply) -> Option<String> {
    /// A response with one of these statuses ends after its headers.
    const WITHOUT_BODY: [u16; 3] = [204, 205, 304];
    let status = reply.status;
    if !(200..=599).contains(&status) {
        return Some(format!("its status is {status}, which is not from 200 to 599"));
    }
    if WITHOUT_BODY.contains(&status) && reply.body.is_some() {
        return Some(format!("its status is {status}, which allows no body"));
    }
    reply.headers.iter().find_map(|(name, value)| header_problem(name, value))
}

/// The reason why a handler may not send this header. The server itself sets the headers that frame
/// the message.
fn header_problem(name: &str, value: &str) -> Option<String> {
    const FRAMING: [&str; 6] = ["connection", "content-length", "keep-alive", "te", "transfer-encoding", "upgrade"];
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_value = |byte: u8| byte == b'\t' || (b' '..=b'~').contains(&byte);
    let shown: String = name.chars().take(80).collect();
    if !(1..=256).contains(&name.len()) || !name.bytes().all(is_token) {
        return Some(format!("{shown:?} is not a name of a header"));
    }
    if FRAMING.contains(&name.to_ascii_lowercase().as_str()) {
        return Some(format!("the header {shown} is set by the server"));
    }
    let is_valid = value.bytes().all(is_value);
    (!is_valid).then(|| format!("the value of the header {shown} has a character that is not printable ASCII"))
}

/// Whether the delivery is a request to an HTTP trigger. Its handler must return a response.
fn is_request(delivery: &Delivery) -> bool {
    delivery.event.source == Source::Http && delivery.event.event_type.as_str() == "http.request"
}
