use crate::PortError;
use async_trait::async_trait;
use tidegate_core::{AbandonCause, AppName, DeliveryId, EventId, Timestamp, TriggerName};

/// What ended without a dead letter, written down for people: chains that were cut, and replies that reached nobody.
#[async_trait]
pub trait LedgerStore: Send + Sync + 'static {
    /// The chains of an app that were cut because they were too deep: the last ones first, at most `limit`.
    async fn loops(&self, app: &AppName, limit: u32) -> Result<Vec<LoopEntry>, PortError>;

    /// The sync executions of an app whose reply reached nobody: newest first, only those before `before`, at most `limit`.
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
    /// The trigger that was not executed any more.
    pub trigger: TriggerName,
    /// The event that the chain began with.
    pub root_id: EventId,
    /// How often it was skipped.
    pub count: u64,
    /// The last event that it was skipped for.
    pub last_event_id: EventId,
    /// When that was.
    pub last_at: Timestamp,
}

/// A sync execution whose reply reached nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbandonedExecution {
    /// The delivery that it was.
    pub delivery_id: DeliveryId,
    /// Its trigger; `invoke` for an invocation.
    pub trigger: TriggerName,
    /// Its event.
    pub event_id: EventId,
    /// Why.
    pub cause: AbandonCause,
    /// `succeeded` or the code of the failure; `None` if nobody knows how it ended.
    pub outcome: Option<String>,
    /// The HTTP status that the reply had or would have had.
    pub status: Option<u16>,
    /// Why it failed, for people.
    pub message: Option<String>,
    /// When it was written down.
    pub at: Timestamp,
}
