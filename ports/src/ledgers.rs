use crate::PortError;
use async_trait::async_trait;
use tidegate_core::{AbandonCause, AppName, DeliveryId, EventId, Timestamp, TriggerName};

/// Records of executions that ended without a dead letter: dropped deliveries of chains that were
/// too deep, and sync executions whose caller was gone.
#[async_trait]
pub trait LedgerStore: Send + Sync + 'static {
    /// The loops of the app, the latest first, at most `limit`.
    async fn loops(&self, app: &AppName, limit: u32) -> Result<Vec<LoopEntry>, PortError>;

    /// The abandoned executions of the app with ids below `before`, the newest first, at most
    /// `limit`.
    async fn abandoned(
        &self,
        app: &AppName,
        before: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Vec<AbandonedExecution>, PortError>;
}

/// A loop: the deliveries of one trigger that were dropped because their chain of events was too
/// deep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoopEntry {
    /// The trigger of the dropped deliveries.
    pub trigger: TriggerName,
    /// The first event of the chain.
    pub root_id: EventId,
    /// The number of dropped deliveries.
    pub count: u64,
    /// The event of the last dropped delivery.
    pub last_event_id: EventId,
    /// When the last delivery was dropped, by the store's clock.
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
