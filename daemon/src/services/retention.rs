//! Removes old records in small batches, so that no transaction is long and no table grows for
//! ever.
//!
//! Each daemon does this. Two daemons on one store share the work: a record is removed once.

use super::metrics::{Metrics, PRUNED};
use metrics::counter;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::Micros;
use tidegate_ports::{PortError, RecordKind, RetentionStore};

/// The most records that one transaction removes.
const BATCH_MAX: u32 = 500;
/// The pause between two batches. Other writers need the store, too.
const BATCH_PAUSE: Duration = Duration::from_millis(100);

/// The settings `retention.*`: how long records are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Days for each kind, in the order of [`RecordKind::ALL`]. 0 keeps the records for ever.
    pub days: [u32; RecordKind::ALL.len()],
    /// The pause between two searches for old records.
    pub interval: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self { days: [0, 30, 30, 30, 30, 1], interval: Duration::from_secs(600) }
    }
}

impl Retention {
    /// The kinds that are removed, and their ages.
    fn ages(&self) -> impl Iterator<Item = (RecordKind, Micros)> {
        let kinds = RecordKind::ALL.iter().zip(self.days).filter(|(_, days)| *days > 0);
        kinds.map(|((kind, _), days)| (*kind, Micros::from_secs(u64::from(days) * 24 * 3_600)))
    }
}

/// Removes the records that are older than their retention. Cheap to clone.
#[derive(Clone)]
pub struct Janitor {
    store: Arc<dyn RetentionStore>,
    retention: Retention,
    metrics: Metrics,
}

impl fmt::Debug for Janitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Janitor").field("retention", &self.retention).finish_non_exhaustive()
    }
}

impl Janitor {
    pub(super) fn new(store: Arc<dyn RetentionStore>, retention: Retention, metrics: Metrics) -> Self {
        Self { store, retention, metrics }
    }

    /// Removes old records for ever, at each interval.
    pub(crate) async fn run(self) {
        loop {
            tokio::time::sleep(self.retention.interval).await;
            // The next interval tries again. The log of the dispatcher reports a store that fails.
            if let Err(error) = self.prune_all().await {
                tracing::debug!("old records could not be removed, trying again later: {error}");
            }
        }
    }

    async fn prune_all(&self) -> Result<(), PortError> {
        loop {
            let removed = self.prune_batch().await?;
            if !Self::has_more(&removed) {
                return Ok(());
            }
            tokio::time::sleep(BATCH_PAUSE).await;
        }
    }

    /// Removes at most one batch of each kind. Returns their numbers.
    pub(crate) async fn prune_batch(&self) -> Result<Vec<(RecordKind, u32)>, PortError> {
        let mut removed = Vec::new();
        for (kind, age) in self.retention.ages() {
            let count = self.store.prune(kind, age, BATCH_MAX).await?;
            self.metrics.record(|| counter!(PRUNED, "kind" => kind.as_str()).increment(u64::from(count)));
            removed.push((kind, count));
        }
        Ok(removed)
    }

    /// Counts the records that would be removed, up to `count_max` of each kind.
    pub(crate) async fn count(&self, count_max: u32) -> Result<Vec<(RecordKind, u32)>, PortError> {
        let mut found = Vec::new();
        for (kind, age) in self.retention.ages() {
            found.push((kind, self.store.count_old(kind, age, count_max).await?));
        }
        Ok(found)
    }

    /// Whether a batch of these numbers may have left old records.
    pub(crate) fn has_more(removed: &[(RecordKind, u32)]) -> bool {
        removed.iter().any(|(_, count)| *count == BATCH_MAX)
    }
}
