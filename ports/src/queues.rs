use crate::PortError;
use async_trait::async_trait;
use tidegate_core::{AppName, Timestamp, TriggerName};

/// How much waits, for monitoring.
#[async_trait]
pub trait QueueStore: Send + Sync + 'static {
    /// Every lane that has rows, by app and trigger, and the store's now. It walks at most `count_max` rows of each over an
    /// index, so that it costs by the number of lanes and not by the number of rows.
    async fn queues(&self, count_max: u32) -> Result<(Timestamp, Vec<QueueState>), PortError>;
}

/// One lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueState {
    /// Whose.
    pub app: AppName,
    /// Its trigger.
    pub trigger: TriggerName,
    /// Rows that wait or run, counted up to what was asked for.
    pub depth: u32,
    /// When the first row that nobody holds was or will be due.
    pub oldest_due: Option<Timestamp>,
}
