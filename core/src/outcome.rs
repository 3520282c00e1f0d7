//! How an execution ended, and what each error means for a retry and for a waiting caller.

use crate::effects::Effects;
use crate::json::Json;
use crate::time::Micros;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How an execution ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The handler finished; its effects are staged, not yet applied.
    Succeeded {
        /// What it wrote and emitted.
        effects: Effects,
        /// What it answered. Only a sync caller gets to see it.
        reply: Option<HandlerReply>,
    },
    /// It failed; nothing that it staged is applied.
    Failed(Failure),
}

/// What a sync handler answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandlerReply {
    /// HTTP status, 200–599.
    pub status: u16,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<Json>,
}

/// Why an execution failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The class that decides over a retry.
    pub error: ExecError,
    /// For people: what was thrown, which limit was passed.
    pub message: String,
    /// The handler's own wish for the next attempt. It raises the back-off and never lowers it.
    pub retry_after: Option<Micros>,
}

impl Failure {
    /// A failure without a wish for the next attempt. The message is cut to [`Self::MESSAGE_BYTES_MAX`].
    #[must_use]
    pub fn new(error: ExecError, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > Self::MESSAGE_BYTES_MAX {
            let end = (0..=Self::MESSAGE_BYTES_MAX).rev().find(|n| message.is_char_boundary(*n)).unwrap_or(0);
            message.truncate(end);
        }
        if message.contains('\0') {
            message = message.replace('\0', "\u{fffd}");
        }
        Self { error, message, retry_after: None }
    }

    /// The longest message kept of a failure: it is written once for every attempt.
    pub const MESSAGE_BYTES_MAX: usize = 4_096;
}

/// The classes of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ExecError {
    /// Ran past `timeout_ms`.
    Timeout,
    /// The handler threw, or its promise never settled.
    ScriptError,
    /// Memory, stack or CPU.
    ResourceLimit,
    /// The script does not compile, or has no default export.
    ScriptUnavailable,
    /// There is no such handler.
    HandlerMissing,
    /// The principal that registered the trigger is gone, disabled or not allowed.
    PrincipalDenied,
    /// A sync handler returned what is no response.
    InvalidReply,
    /// Connect, TLS or DNS.
    EndpointUnreachable,
    /// A webhook answered with this status.
    EndpointStatus(u16),
    /// Somebody else wrote what the handler had read, again and again.
    EffectsConflict,
    /// The gate was full. Async work is deferred instead; only a sync caller is told.
    Overloaded,
    /// The process died, or the lease expired.
    Lost,
    /// A bug of Tidegate.
    Internal,
    /// A sync call at the end of too deep a chain.
    LoopRefused,
    /// A sync call whose idempotency key was used for another request.
    IdempotencyKeyReused,
    /// A sync call that repeats one which has no reply yet.
    IdempotencyKeyInUse,
}

impl ExecError {
    /// Its name in SQL, API and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::ScriptError => "script_error",
            Self::ResourceLimit => "resource_limit",
            Self::ScriptUnavailable => "script_unavailable",
            Self::HandlerMissing => "handler_missing",
            Self::PrincipalDenied => "principal_denied",
            Self::InvalidReply => "invalid_reply",
            Self::EndpointUnreachable => "endpoint_unreachable",
            Self::EndpointStatus(_) => "endpoint_status",
            Self::EffectsConflict => "effects_conflict",
            Self::Overloaded => "overloaded",
            Self::Lost => "lost",
            Self::Internal => "internal",
            Self::LoopRefused => "loop_refused",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::IdempotencyKeyInUse => "idempotency_key_in_use",
        }
    }

    /// Whether another attempt may help.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::Timeout
            | Self::ScriptError
            | Self::ResourceLimit
            | Self::EndpointUnreachable
            | Self::EffectsConflict
            | Self::Lost
            | Self::Internal => true,
            Self::EndpointStatus(status) => matches!(status, 404 | 408 | 409 | 425 | 429 | 500..=599),
            Self::ScriptUnavailable
            | Self::HandlerMissing
            | Self::PrincipalDenied
            | Self::InvalidReply
            | Self::Overloaded
            | Self::LoopRefused
            | Self::IdempotencyKeyReused
            | Self::IdempotencyKeyInUse => false,
        }
    }

    /// The HTTP status that a sync caller gets.
    #[must_use]
    pub const fn reply_status(self) -> u16 {
        match self {
            Self::Timeout => 504,
            Self::ScriptError | Self::ResourceLimit | Self::Lost | Self::Internal => 500,
            Self::ScriptUnavailable | Self::Overloaded => 503,
            Self::HandlerMissing => 404,
            Self::PrincipalDenied => 403,
            Self::InvalidReply | Self::EndpointUnreachable | Self::EndpointStatus(_) => 502,
            Self::EffectsConflict | Self::IdempotencyKeyInUse => 409,
            Self::IdempotencyKeyReused => 422,
            Self::LoopRefused => 508,
        }
    }

    /// Whether this failure switches its trigger off: a webhook's 410 says that nobody will ever be there again.
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

/// How a sync caller sees a failure: the code of the problem body and its HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxFailureKind {
    /// The code.
    pub code: ExecError,
    /// The status.
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
    fn the_table_of_errors() {
        use ExecError as E;
        for (error, retryable, status) in [
            (E::Timeout, true, 504),
            (E::ScriptError, true, 500),
            (E::ResourceLimit, true, 500),
            (E::ScriptUnavailable, false, 503),
            (E::HandlerMissing, false, 404),
            (E::PrincipalDenied, false, 403),
            (E::InvalidReply, false, 502),
            (E::EndpointUnreachable, true, 502),
            (E::EffectsConflict, true, 409),
            (E::Overloaded, false, 503),
            (E::Lost, true, 500),
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
    fn the_table_of_endpoint_statuses() {
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
