//! Sync calls: somebody waits for what a handler answers.
//!
//! Authority over a call passes along one way: the caller's connection is held by one daemon; the row, once written, by
//! the store; and whoever finds a row whose daemon is gone writes down that its caller was abandoned. So a call ends as
//! exactly one of: refused before anything was written, replied, abandoned.

use crate::claim::Claim;
use crate::event::{Cause, NewEvent};
use crate::names::{AppName, InboxId, ScriptName, TriggerId};
use crate::outcome::{ExecError, Failure, HandlerReply, Outcome};
use crate::principal::Standing;
use crate::trigger::TimeoutMs;
use serde::{Deserialize, Serialize};

/// A call that waits to be begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncCall {
    /// Where its caller waits.
    pub inbox: InboxId,
    /// What is to run.
    pub target: SyncTarget,
    /// What is handed to it.
    pub event: NewEvent,
    /// Who calls, and from which execution if from one.
    pub cause: Cause,
    /// Makes a repeated call harmless: the second one gets the first one's reply.
    pub idempotency_key: Option<IdempotencyKey>,
}

/// A caller's key for one request, in its app. Kept for a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyKey {
    /// The caller's text, 1–255 bytes.
    pub key: String,
    /// SHA-256 of the request, in hex: the same key with another request is an error.
    pub digest: String,
}

/// What a call runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SyncTarget {
    /// The handler of an HTTP trigger, as the principal who registered it.
    Trigger(TriggerId),
    /// A script by its name, as the caller.
    Script {
        /// Whose.
        app: AppName,
        /// Which.
        script: ScriptName,
        /// How long it may take.
        timeout: TimeoutMs,
    },
}

/// Why a store does not begin a call. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Refusal {
    /// The app or the trigger is not there, or the trigger is disabled.
    Gone,
    /// The trigger is paused: rows of others would wait, a caller cannot.
    Paused,
    /// The trigger's `max_concurrency` is reached.
    Busy,
    /// The principal that registered the trigger may not run it any more.
    Denied(Standing),
    /// The idempotency key was used for another request.
    KeyReused,
    /// The first call with this idempotency key has no reply yet.
    KeyInUse,
}

impl Refusal {
    /// What the caller is told.
    #[must_use]
    pub fn failure(self) -> Failure {
        match self {
            // Who that is, is not a caller's business.
            Self::Denied(_) => Failure::new(
                ExecError::PrincipalDenied,
                "who registered the trigger may not run it any more; nothing was started",
            ),
            Self::KeyReused => Failure::new(
                ExecError::IdempotencyKeyReused,
                "this Idempotency-Key was used for another request; nothing was started",
            ),
            Self::KeyInUse => Failure::new(
                ExecError::IdempotencyKeyInUse,
                "the first call with this Idempotency-Key has no reply yet; nothing was started",
            ),
            Self::Gone => Failure::new(ExecError::HandlerMissing, "there is no such trigger, or it is disabled"),
            Self::Paused => Failure::new(ExecError::Overloaded, "the trigger is paused; nothing was started"),
            Self::Busy => Failure::new(
                ExecError::Overloaded,
                "as many executions of the trigger run as its max_concurrency allows; nothing was started",
            ),
        }
    }
}

/// What a caller gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncReply {
    /// The execution, if its row was written.
    pub execution: Option<Claim>,
    /// What the handler answered, or why it did not.
    pub result: Result<Option<HandlerReply>, Failure>,
}

impl SyncReply {
    /// The reply to the caller of an execution that ended with `outcome`.
    pub(crate) fn of(execution: Claim, outcome: &Outcome) -> Self {
        let result = match outcome {
            Outcome::Succeeded { reply, .. } => Ok(reply.clone()),
            Outcome::Failed(failure) => Err(failure.clone()),
        };
        Self { execution: Some(execution), result }
    }
}

/// How a sync execution ended, as its row keeps it until the reply is delivered, and its abandoned row for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncOutcome {
    /// The HTTP status of the reply.
    pub status: u16,
    /// The class of the failure. `None`: it succeeded.
    pub error: Option<ExecError>,
    /// For people.
    pub message: Option<String>,
}

impl SyncOutcome {
    /// The part of an outcome that the store keeps.
    pub(crate) fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Succeeded { reply, .. } => {
                let status = reply.as_ref().map_or(200, |reply| reply.status);
                Self { status, error: None, message: None }
            }
            Outcome::Failed(failure) => {
                let (status, message) = (failure.error.reply_status(), Some(failure.message.clone()));
                Self { status, error: Some(failure.error), message }
            }
        }
    }

    /// `succeeded`, or the code of the failure.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.error.map_or("succeeded", ExecError::code)
    }
}
