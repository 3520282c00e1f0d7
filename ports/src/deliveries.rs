use crate::{Page, PageSize, PortError};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tidegate_core::{AppName, Attempt, DeliveryId, Event, Timestamp, TriggerName};

/// Lists the deliveries in the outbox. Each call walks an index and never counts the table.
#[async_trait]
pub trait DeliveryStore: Send + Sync + 'static {
    /// The deliveries of the app that pass `filter`, ordered by id.
    async fn list(&self, app: &AppName, filter: &DeliveryFilter) -> Result<Page<DeliverySummary>, PortError>;

    async fn get(&self, app: &AppName, id: DeliveryId) -> Result<Option<DeliverySummary>, PortError>;
}

/// Selects deliveries for a list. All conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    pub trigger: Option<TriggerName>,
    pub state: Option<DeliveryState>,
    /// Selects deliveries with greater ids: the last id of the previous page.
    pub after: Option<DeliveryId>,
    pub size: PageSize,
}

/// The state of a delivery in the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Due, and held by no claim with a valid lease.
    Ready,
    /// Due at a later time.
    Scheduled,
    /// Held by a claim whose lease has not expired.
    Leased,
}

/// One row of the outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeliverySummary {
    pub id: DeliveryId,
    pub trigger: TriggerName,
    pub state: DeliveryState,
    pub event: Event,
    /// The number of attempts that failed, and one more while a claim holds the row.
    pub attempt: u32,
    /// The number of losses. A row with a loss waits to run alone.
    pub lost: u32,
    pub max_attempts: u32,
    pub due_at: Timestamp,
    /// When the row was written.
    pub enqueued_at: Timestamp,
    /// The failed and the lost attempts so far, oldest first.
    pub failed: Vec<Attempt>,
}

impl DeliverySummary {
    /// The size of the delivery in a page.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.event.bytes() + Attempt::bytes_of(&self.failed)
    }
}
