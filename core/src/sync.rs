//! Sync calls: requests whose callers wait for a handler's reply.
//!
//! One daemon holds the connection of the caller. The store holds the row of the call after the
//! daemon has written it. If the daemon dies, another daemon claims the row and records the
//! execution as abandoned. So every call ends in exactly one of three ways: refused before anything
//! was written, replied, or abandoned.

use crate::claim::Claim;
use crate::event::{Cause, NewEvent};
use crate::names::{AppName, InboxId, ScriptName, TriggerId};
use crate::outcome::{ExecError, Failure, HandlerReply, Outcome};
use crate::principal::Standing;
use crate::time::Micros;
use crate::trigger::TimeoutMs;
use serde::{Deserialize, Serialize};

/// A request for an execution whose caller waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncCall {
    /// The place where the caller waits for the reply.
    pub inbox: InboxId,
    /// The handler to run.
    pub target: SyncTarget,
    /// The event that the handler gets.
    pub event: NewEvent,
    /// The calling principal, and the event that it was handling if a handler made the call.
    pub cause: Cause,
    /// The key that makes a repetition harmless: a repeated call gets the reply of the first call.
    pub idempotency_key: Option<IdempotencyKey>,
}

/// A caller's key for one request. It is unique within the app, and the store keeps it for a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyKey {
    /// The text of the caller, 1–255 bytes.
    pub key: String,
    /// The SHA-256 of the request in hex. The same key with another digest is an error.
    pub digest: String,
}

/// The handler that a call runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SyncTarget {
    /// The handler of an HTTP trigger. It acts as the principal that registered the trigger.
    Trigger { app: AppName, id: TriggerId },
    /// A script by its name. It acts as the caller.
    Script { app: AppName, script: ScriptName, timeout: TimeoutMs },
}

impl SyncTarget {
    /// The app of the handler. Calls of different apps share the permits evenly.
    #[must_use]
    pub const fn app(&self) -> &AppName {
        match self {
            Self::Trigger { app, .. } | Self::Script { app, .. } => app,
        }
    }
}

/// The reason why a store does not begin a call. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Refusal {
    /// The app or the trigger does not exist, or the trigger is disabled.
    Gone,
    /// The trigger is paused. Rows of async deliveries wait, but a caller cannot.
    Paused,
    /// The `max_concurrency` of the trigger is reached.
    Busy,
    /// The principal that registered the trigger may no longer run it.
    Denied(Standing),
    /// The idempotency key was used for another request.
    KeyReused,
    /// The first call with this idempotency key has no reply yet.
    KeyInUse,
}

impl Refusal {
    /// The failure that the caller gets.
    #[must_use]
    pub fn failure(self) -> Failure {
        let (error, message) = match self {
            // The message does not name the principal: a caller need not know it.
            Self::Denied(_) => (
                ExecError::PrincipalDenied,
                "the principal that registered the trigger may no longer run it; nothing was started",
            ),
            Self::KeyReused => (
                ExecError::IdempotencyKeyReused,
                "this Idempotency-Key was used for another request; nothing was started",
            ),
            Self::KeyInUse => (
                ExecError::IdempotencyKeyInUse,
                "the first call with this Idempotency-Key has no reply yet; nothing was started",
            ),
            Self::Gone => {
                (ExecError::HandlerMissing, "there is no such trigger, or it is disabled; nothing was started")
            }
            Self::Paused => (ExecError::Overloaded, "the trigger is paused; nothing was started"),
            Self::Busy => {
                (ExecError::Overloaded, "the trigger already runs max_concurrency executions; nothing was started")
            }
        };
        Failure::new(error, message)
    }
}

/// The reply to a sync caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncReply {
    /// The execution of the call. `None` if no row was written.
    pub execution: Option<Claim>,
    /// The reply of the handler, or the failure.
    pub result: Result<Option<HandlerReply>, Failure>,
}

impl SyncReply {
    /// The reply to the caller of an execution that ended with `outcome`. If the handler did not
    /// start, the caller may call again after `backoff`.
    pub(crate) fn of(execution: Claim, outcome: &Outcome, backoff: Micros) -> Self {
        let result = match outcome {
            Outcome::Succeeded { reply, .. } => Ok(reply.clone()),
            Outcome::Failed(failure) => Err(failure.clone()),
            Outcome::NotStarted { reason } => Err(not_started(reason, backoff)),
        };
        Self { execution: Some(execution), result }
    }
}

/// The outcome of a sync execution, as its row keeps it until the reply is delivered. A row of
/// `abandoned_executions` keeps it permanently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncOutcome {
    /// The HTTP status of the reply.
    pub status: u16,
    /// The class of the failure. `None` for a success.
    pub error: Option<ExecError>,
    /// A description of the failure for people.
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
            Outcome::NotStarted { reason } => {
                let Failure { error, message, .. } = not_started(reason, Micros::ZERO);
                Self { status: error.reply_status(), error: Some(error), message: Some(message) }
            }
        }
    }

    /// `succeeded`, or the code of the failure.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.error.map_or("succeeded", ExecError::code)
    }
}

/// The failure that the caller of a handler gets if the handler did not start.
fn not_started(reason: &str, backoff: Micros) -> Failure {
    let message = format!("the handler did not start: {reason}; nothing was applied; call again later");
    Failure { retry_after: Some(backoff), ..Failure::new(ExecError::Overloaded, message) }
}
