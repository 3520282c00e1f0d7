use crate::PortError;
use async_trait::async_trait;
use tidegate_core::{AbandonCause, AppName, DeliveryId, EventId, Timestamp, TriggerName};

/// Records of executions that ended without a dead letter: chains of events that were cut, and sync
/// executions whose caller was gone.
#[async_trait]
pub trait LedgerStore: Send + Sync + 'static {
    /// The chains of the app that were cut because they were too deep. The latest come first, at
    /// most `limit`.
    async fn loops(&self, app: &AppName, limit: u32) -> Result<Vec<LoopEntry>, PortError>;

    /// The abandoned executions of the app with ids below `before`. The newest come first, at most
    /// `limit`.
    async fn abandoned(
        &self,
        app: &AppName,
        before: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Vec<AbandonedExecution>, PortError>;
}

/// One trigger in one chain of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoopEntry {
    /// The trigger that was skipped.
    pub trigger: TriggerName,
    /// The first event of the chain.
    pub root_id: EventId,
    /// How many times the trigger was skipped.
    pub count: u64,
    /// The last event for which the trigger was skipped.
    pub last_event_id: EventId,
    /// The time of the last skip, by the store's clock.
    pub last_at: Timestamp,
}

/// A sync execution whose caller was gone when the reply was ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbandonedExecution {
    /// The id of the delivery, which is deleted.
    pub delivery_id: DeliveryId,
    /// The name of the trigger, or `invoke` for an invocation.
    pub trigger: TriggerName,
    pub event_id: EventId,
    pub cause: AbandonCause,
    /// `succeeded` or the code of the failure. `None` if the outcome is unknown, because the daemon
    /// died.
    pub outcome: Option<String>,
    /// The HTTP status of the reply, delivered or not.
    pub status: Option<u16>,
    /// The message of the failure.
    pub message: Option<String>,
    /// When the execution was recorded as abandoned, by the store's clock.
    pub at: Timestamp,
}
