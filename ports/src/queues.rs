use crate::PortError;
use async_trait::async_trait;
use tidegate_core::{AppName, Timestamp, TriggerName};

/// The backlog of each lane, for monitoring.
#[async_trait]
pub trait QueueStore: Send + Sync + 'static {
    /// Every lane with rows, ordered by app and trigger, and the store's time.
    ///
    /// The call walks at most `count_max` rows of each lane over an index. Its cost depends on the
    /// number of lanes and not on the number of rows.
    async fn queues(&self, count_max: u32) -> Result<(Timestamp, Vec<QueueState>), PortError>;
}

/// The backlog of one lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueState {
    pub app: AppName,
    pub trigger: TriggerName,
    /// The number of rows that wait or run, at most the `count_max` of the call.
    pub depth: u32,
    /// The earliest due time of the rows that no claim with a valid lease holds. It may be in the
    /// future.
    pub oldest_due: Option<Timestamp>,
}
