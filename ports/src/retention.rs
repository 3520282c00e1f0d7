use crate::PortError;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tidegate_core::Micros;

/// Removes old records, a bounded number at a time.
#[async_trait]
pub trait RetentionStore: Send + Sync + 'static {
    /// Removes at most `limit` records of this kind that are older than `age`, the oldest first.
    /// Returns their number.
    async fn prune(&self, kind: RecordKind, age: Micros, limit: u32) -> Result<u32, PortError>;

    /// Counts the records of this kind that are older than `age`, up to `count_max`.
    async fn count_old(&self, kind: RecordKind, age: Micros, count_max: u32) -> Result<u32, PortError>;
}

/// A kind of record that the store keeps for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordKind {
    /// Dead letters without a resolution, or whose handler failed. Their age counts from their
    /// creation, like that of all letters.
    OpenLetters,
    /// Dead letters that a handler has handled or that were redriven.
    HandledLetters,
    DiscardedLetters,
    AbandonedExecutions,
    /// Chains that were cut. Their age counts from the last dropped delivery.
    Loops,
    /// Tokens of logins. Their age counts from their expiry.
    Sessions,
}

impl RecordKind {
    /// Every kind with its name in SQL, the API and metrics.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::OpenLetters, "open_letters"),
        (Self::HandledLetters, "handled_letters"),
        (Self::DiscardedLetters, "discarded_letters"),
        (Self::AbandonedExecutions, "abandoned_executions"),
        (Self::Loops, "loops"),
        (Self::Sessions, "sessions"),
    ];

    /// The name in SQL, the API and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }
}
