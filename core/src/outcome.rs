//! The outcome of an execution, and the meaning of each error for a retry and for a sync caller.

use crate::effects::Effects;
use crate::json::Json;
use crate::retry_policy::BACKOFF_MS_MAX;
use crate::time::Micros;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The outcome of an execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The handler finished. Its effects are staged and not yet applied.
    Succeeded {
        /// The writes and events that the handler staged.
        effects: Effects,
        /// The reply of the handler. Only a sync caller gets it.
        reply: Option<HandlerReply>,
    },
    /// The handler failed. None of its effects is applied.
    Failed(Failure),
    /// The handler did not start, because the executor could not run it: no thread was free, or the
    /// script could not be read. An async delivery is deferred, and its attempt does not count. A
    /// sync caller gets the error `overloaded`.
    NotStarted {
        /// The reason, for people.
        reason: String,
    },
}

impl Outcome {
    /// Whether the handler started.
    #[must_use]
    pub const fn is_started(&self) -> bool {
        !matches!(self, Self::NotStarted { .. })
    }
}

/// The reply of a sync handler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandlerReply {
    /// The HTTP status, 200–599.
    pub status: u16,
    /// The names and values of the headers. A name may occur several times.
    pub headers: Vec<(String, String)>,
    pub body: Option<ReplyBody>,
}

/// The body of a reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplyBody {
    /// A string is sent as plain text, and any other value as JSON.
    Json(Json),
    /// Bytes in Base64, which JSON can hold. They are sent decoded.
    Base64(String),
}

impl ReplyBody {
    /// The text that a store keeps.
    fn text(&self) -> &str {
        match self {
            Self::Json(json) => json.as_str(),
            Self::Base64(text) => text,
        }
    }
}

impl HandlerReply {
    /// The bytes of the headers and the body.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        (headers + self.body.as_ref().map_or(0, |body| body.text().len())) as u64
    }
}

/// The failure of an execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The class of the failure. It decides whether the delivery is retried.
    pub error: ExecError,
    /// A description for people, such as the thrown error or the exceeded limit.
    pub message: String,
    /// The back-off that the handler requests. It can make the back-off of the policy longer, and
    /// never shorter. It counts as [`Self::RETRY_AFTER_MAX`] if it is more.
    pub retry_after: Option<Micros>,
}

impl Failure {
    /// A failure without a requested back-off. The message is cut to [`Self::MESSAGE_BYTES_MAX`],
    /// and NUL characters in it are replaced, because Postgres cannot store them.
    #[must_use]
    pub fn new(error: ExecError, message: impl Into<String>) -> Self {
        let mut message = message.into();
        cut(&mut message, Self::MESSAGE_BYTES_MAX);
        if message.contains('\0') {
            message = message.replace('\0', "\u{fffd}");
        }
        Self { error, message, retry_after: None }
    }

    /// Cuts a requested back-off that is too long. The last line of the message says so. The first
    /// line stays, because the fingerprint of an attempt depends on it.
    #[must_use]
    pub(crate) fn with_capped_retry_after(mut self) -> Self {
        let Some(requested) = self.retry_after.filter(|requested| *requested > Self::RETRY_AFTER_MAX) else {
            return self;
        };
        self.retry_after = Some(Self::RETRY_AFTER_MAX);
        let (requested, most) = (requested.as_millis(), Self::RETRY_AFTER_MAX.as_millis());
        self.with_note(&format!("The handler requested a retry after {requested} ms; the most is {most} ms (7 days)."))
    }

    /// Adds a last line to the message, which is cut to make room for it.
    #[must_use]
    pub fn with_note(mut self, note: &str) -> Self {
        cut(&mut self.message, Self::MESSAGE_BYTES_MAX.saturating_sub(note.len() + 1));
        self.message.push('\n');
        self.message.push_str(note);
        cut(&mut self.message, Self::MESSAGE_BYTES_MAX);
        self
    }

    /// The longest message of a failure. The store writes it once for every attempt.
    pub const MESSAGE_BYTES_MAX: usize = 4_096;
    /// The longest back-off that a handler can request: 7 days.
    pub const RETRY_AFTER_MAX: Micros = Micros::from_millis(BACKOFF_MS_MAX);
}

/// Cuts a text to at most `bytes_max` bytes, between two characters.
fn cut(text: &mut String, bytes_max: usize) {
    text.truncate(text.floor_char_boundary(bytes_max));
}

/// The class of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ExecError {
    /// The execution exceeded `timeout_ms`.
    Timeout,
    /// The handler threw, or its promise never settled.
    ScriptError,
    /// The execution exceeded a limit of memory, stack or CPU time.
    ResourceLimit,
    /// The script does not compile, fails while it is loaded, or has no handler.
    ScriptUnavailable,
    /// The handler used a name that does not exist, or text that does not parse: it threw a
    /// `ReferenceError` or a `SyntaxError`.
    ScriptDefect,
    /// The body of an HTTP request is not the JSON that its handler expects.
    InvalidJson,
    /// The handler does not exist.
    HandlerMissing,
    /// The principal that registered the trigger is missing, disabled or not allowed.
    PrincipalDenied,
    /// The reply of a sync handler cannot be sent as an HTTP response.
    InvalidReply,
    /// The connection to a webhook failed: DNS, TCP or TLS.
    EndpointUnreachable,
    /// A webhook answered with this HTTP status.
    EndpointStatus(u16),
    /// Other writers changed the values that the handler had read, too many times in a row.
    EffectsConflict,
    /// No permit was free for a sync call, or its handler did not start. An async delivery is
    /// deferred instead.
    Overloaded,
    /// The process died while it executed the delivery, or the lease expired.
    Lost,
    /// The process died, or the lease expired, while the delivery was held ahead.
    NeverBegan,
    /// The writes and events of the handler have too many bytes.
    PayloadTooLarge,
    /// The store cannot store the effects of the handler, or the record of its failure.
    StoreRefused,
    /// A bug of Tidegate.
    Internal,
    /// The chain of events that led to a sync call is too deep.
    LoopRefused,
    /// The idempotency key of a sync call was used for another request.
    IdempotencyKeyReused,
    /// A sync call repeats an earlier call that has no reply yet.
    IdempotencyKeyInUse,
}

impl ExecError {
    /// The name of the class in SQL, API and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::ScriptError => "script_error",
            Self::ResourceLimit => "resource_limit",
            Self::ScriptUnavailable => "script_unavailable",
            Self::ScriptDefect => "script_defect",
            Self::InvalidJson => "invalid_json",
            Self::HandlerMissing => "handler_missing",
            Self::PrincipalDenied => "principal_denied",
            Self::InvalidReply => "invalid_reply",
            Self::EndpointUnreachable => "endpoint_unreachable",
            Self::EndpointStatus(_) => "endpoint_status",
            Self::EffectsConflict => "effects_conflict",
            Self::Overloaded => "overloaded",
            Self::Lost => "lost",
            Self::NeverBegan => "never_began",
            Self::PayloadTooLarge => "payload_too_large",
            Self::StoreRefused => "store_refused",
            Self::Internal => "internal",
            Self::LoopRefused => "loop_refused",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::IdempotencyKeyInUse => "idempotency_key_in_use",
        }
    }

    /// Whether another attempt may succeed.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::Timeout
            | Self::ScriptError
            | Self::ResourceLimit
            | Self::EndpointUnreachable
            | Self::EffectsConflict
            | Self::Lost
            | Self::NeverBegan
            | Self::Internal => true,
            Self::EndpointStatus(status) => matches!(status, 404 | 408 | 409 | 425 | 429 | 500..=599),
            Self::ScriptUnavailable
            | Self::ScriptDefect
            | Self::InvalidJson
            | Self::HandlerMissing
            | Self::PrincipalDenied
            | Self::InvalidReply
            | Self::PayloadTooLarge
            | Self::StoreRefused
            | Self::Overloaded
            | Self::LoopRefused
            | Self::IdempotencyKeyReused
            | Self::IdempotencyKeyInUse => false,
        }
    }

    /// The HTTP status of the reply to a sync caller.
    #[must_use]
    pub const fn reply_status(self) -> u16 {
        match self {
            Self::Timeout => 504,
            Self::InvalidJson => 400,
            Self::ScriptError
            | Self::ScriptDefect
            | Self::ResourceLimit
            | Self::Lost
            | Self::PayloadTooLarge
            | Self::StoreRefused
            | Self::Internal => 500,
            Self::ScriptUnavailable | Self::Overloaded | Self::NeverBegan => 503,
            Self::HandlerMissing => 404,
            Self::PrincipalDenied => 403,
            Self::InvalidReply | Self::EndpointUnreachable | Self::EndpointStatus(_) => 502,
            Self::EffectsConflict | Self::IdempotencyKeyInUse => 409,
            Self::IdempotencyKeyReused => 422,
            Self::LoopRefused => 508,
        }
    }

    /// Whether this failure disables its trigger. A webhook that answers 410 has been removed
    /// permanently.
    #[must_use]
    pub const fn disables_trigger(self) -> bool {
        matches!(self, Self::EndpointStatus(410))
    }
}

impl fmt::Display for ExecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EndpointStatus(status) => write!(f, "endpoint_status {status}"),
            other => f.write_str(other.code()),
        }
    }
}

/// A failure in the form that a sync caller gets: the code in the problem body, and the HTTP
/// status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxFailureKind {
    pub code: ExecError,
    pub status: u16,
}

impl From<ExecError> for InboxFailureKind {
    fn from(code: ExecError) -> Self {
        Self { code, status: code.reply_status() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_a_retry_rule_and_a_status() {
        use ExecError as E;
        for (error, retryable, status) in [
            (E::Timeout, true, 504),
            (E::ScriptError, true, 500),
            (E::ResourceLimit, true, 500),
            (E::ScriptUnavailable, false, 503),
            (E::ScriptDefect, false, 500),
            (E::InvalidJson, false, 400),
            (E::HandlerMissing, false, 404),
            (E::PrincipalDenied, false, 403),
            (E::InvalidReply, false, 502),
            (E::EndpointUnreachable, true, 502),
            (E::EffectsConflict, true, 409),
            (E::Overloaded, false, 503),
            (E::Lost, true, 500),
            (E::NeverBegan, true, 503),
            (E::PayloadTooLarge, false, 500),
            (E::StoreRefused, false, 500),
            (E::Internal, true, 500),
            (E::LoopRefused, false, 508),
            (E::IdempotencyKeyReused, false, 422),
            (E::IdempotencyKeyInUse, false, 409),
        ] {
            assert_eq!(error.is_retryable(), retryable, "{error}");
            assert_eq!(InboxFailureKind::from(error), InboxFailureKind { code: error, status }, "{error}");
            assert_eq!(serde_json::to_string(&error).unwrap(), format!("\"{}\"", error.code()));
        }
    }

    #[test]
    fn every_endpoint_status_has_a_retry_rule() {
        for status in 100..=599 {
            let error = ExecError::EndpointStatus(status);
            let retryable = [404, 408, 409, 425, 429].contains(&status) || status >= 500;
            assert_eq!(error.is_retryable(), retryable, "{status}");
            assert_eq!(error.disables_trigger(), status == 410, "{status}");
            assert_eq!(error.reply_status(), 502);
        }
    }

    #[test]
    fn a_message_is_cut_at_a_character_and_holds_no_nul() {
        let failure = Failure::new(ExecError::ScriptError, "é".repeat(3_000));
        assert_eq!(failure.message.len(), Failure::MESSAGE_BYTES_MAX);
        assert_eq!(Failure::new(ExecError::ScriptError, "a\0b").message, "a\u{fffd}b");
    }
}
