use crate::PortError;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tidegate_core::{AppName, Attempt, DeliveryId, Event, Timestamp, TriggerName};

/// A look at the outbox, for people. It walks an index and never counts the table.
#[async_trait]
pub trait DeliveryStore: Send + Sync + 'static {
    /// An app's deliveries in the order of their ids.
    async fn list(&self, app: &AppName, filter: &DeliveryFilter) -> Result<Vec<DeliverySummary>, PortError>;

    /// One of them.
    async fn get(&self, app: &AppName, id: DeliveryId) -> Result<Option<DeliverySummary>, PortError>;
}

/// Which deliveries to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Only of this trigger.
    pub trigger: Option<TriggerName>,
    /// Only in this state.
    pub state: Option<DeliveryState>,
    /// Only after this one.
    pub after: Option<DeliveryId>,
    /// At most so many.
    pub limit: u32,
}

/// Where a delivery in the outbox stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Due, and not leased.
    Ready,
    /// Due later.
    Scheduled,
    /// Claimed, its lease not expired.
    Leased,
}

/// A row of the outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeliverySummary {
    /// The row.
    pub id: DeliveryId,
    /// Its trigger.
    pub trigger: TriggerName,
    /// Where it stands.
    pub state: DeliveryState,
    /// The event.
    pub event: Event,
    /// How many attempts were begun.
    pub attempt: u32,
    /// How many there may be.
    pub max_attempts: u32,
    /// When it is or was due.
    pub due_at: Timestamp,
    /// When the row came to be.
    pub enqueued_at: Timestamp,
    /// The attempts that failed so far.
    pub failed: Vec<Attempt>,
}
