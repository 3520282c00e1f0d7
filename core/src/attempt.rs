//! The records of deliveries that did not succeed: failed attempts, and the reasons for dead
//! letters and abandoned executions.

use crate::outcome::ExecError;
use crate::time::{Micros, Timestamp};
use serde::{Deserialize, Serialize};

/// A failed attempt. The row of its delivery records it, and a dead letter keeps the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The number of the attempt, from 1. An attempt that was lost or never began does not count,
    /// so the next attempt has the same number.
    pub attempt: u32,
    /// The start of the handler by the store's clock. For an attempt that was lost or never began
    /// it is the time of its claim. For a lost dead-letter handler it is the time at which the loss
    /// was found.
    pub started_at: Timestamp,
    /// From the start of the handler to its end. `None` for an attempt that was lost or never
    /// began: the process that could measure it is gone.
    pub duration: Option<Micros>,
    /// The class of the failure.
    pub error: ExecError,
    /// A description for people.
    pub message: String,
}

impl Attempt {
    /// The message of a lost attempt. The store records it when it ends the expired claim of the
    /// row.
    pub const LOST_MESSAGE: &str = "its process died or lost its lease after the handler may have begun";
    /// The message of an attempt that never began. The store records it when it ends the expired
    /// claim that held the row ahead.
    pub const NEVER_BEGAN_MESSAGE: &str =
        "its process died or lost its lease before the handler began; this counts neither as an attempt nor as a loss";

    /// Whether the handler may have begun. An attempt that never began does not count.
    #[must_use]
    pub const fn may_have_begun(&self) -> bool {
        !matches!(self.error, ExecError::NeverBegan)
    }

    /// The bytes of the messages of `attempts`.
    #[must_use]
    pub fn bytes_of(attempts: &[Self]) -> u64 {
        attempts.iter().map(|attempt| attempt.message.len() as u64).sum()
    }

    /// A text that is equal for equal failures. It is a hash of the error code and of the first
    /// line of the message, in which every number counts as `#`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let line = self.message.lines().next().unwrap_or_default();
        // FNV-1a is stable across versions, unlike the hasher of the standard library.
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        let mut follows_digit = false;
        for byte in self.error.code().bytes().chain([b':']).chain(line.bytes()) {
            let is_digit = byte.is_ascii_digit();
            if is_digit && follows_digit {
                continue;
            }
            follows_digit = is_digit;
            hash = (hash ^ u64::from(if is_digit { b'#' } else { byte })).wrapping_mul(0x0100_0000_01b3);
        }
        format!("{hash:016x}")
    }
}

/// The reason why a delivery became a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadReason {
    /// Every allowed attempt failed.
    AttemptsExhausted,
    /// The process died, or lost its lease, as often as `max_lost` allows. The handler may be the
    /// cause.
    Lost,
    /// The next attempt would begin later than `max_age` allows.
    MaxAge,
    /// The failure is not retryable.
    Permanent,
    /// The principal that registered the trigger is missing, disabled or not allowed.
    PrincipalDenied,
    /// The handler does not exist, or the trigger was deleted.
    HandlerMissing,
}

impl DeadReason {
    /// Every reason, in the order of the variants.
    pub const ALL: [Self; 6] = [
        Self::AttemptsExhausted,
        Self::Lost,
        Self::MaxAge,
        Self::Permanent,
        Self::PrincipalDenied,
        Self::HandlerMissing,
    ];

    /// The reason with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }

    /// The name of the reason in SQL, API and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AttemptsExhausted => "attempts_exhausted",
            Self::Lost => "lost",
            Self::MaxAge => "max_age",
            Self::Permanent => "permanent",
            Self::PrincipalDenied => "principal_denied",
            Self::HandlerMissing => "handler_missing",
        }
    }
}

/// The reason why the reply of a sync execution reached no caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AbandonCause {
    /// The daemon with the caller's connection died or lost its lease.
    NodeLost,
    /// The caller hung up before the reply was handed over.
    CallerGone,
}

impl AbandonCause {
    /// The cause with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::NodeLost, Self::CallerGone].into_iter().find(|cause| cause.as_str() == name)
    }

    /// The name of the cause in SQL, API and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NodeLost => "node_lost",
            Self::CallerGone => "caller_gone",
        }
    }
}
