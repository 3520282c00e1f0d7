//! The ports for operators: deliveries, queues, dead letters, loops and abandoned executions.

use super::SharedMemory;
use async_trait::async_trait;
use tidegate_core::{AppName, DeadLetterId, DeliveryId, Micros, Timestamp};
use tidegate_ports::{
    AbandonedExecution, DeadLetter, DeadLetterFilter, DeadLetterStore, DeliveryFilter, DeliveryStore, DeliverySummary,
    LedgerStore, LetterBatch, LetterSelection, LoopEntry, Page, PortError, QueueState, QueueStore, RecordKind,
    RetentionStore,
};

#[async_trait]
impl DeliveryStore for SharedMemory {
    async fn list(&self, app: &AppName, filter: &DeliveryFilter) -> Result<Page<DeliverySummary>, PortError> {
        self.transaction().deliveries(app, filter)
    }

    async fn get(&self, app: &AppName, id: DeliveryId) -> Result<Option<DeliverySummary>, PortError> {
        self.transaction().delivery(app, id)
    }
}

#[async_trait]
impl QueueStore for SharedMemory {
    async fn queues(&self, count_max: u32) -> Result<(Timestamp, Vec<QueueState>), PortError> {
        let memory = self.transaction();
        Ok((memory.now(), memory.queues(count_max)))
    }
}

#[async_trait]
impl DeadLetterStore for SharedMemory {
    async fn list(&self, app: &AppName, filter: &DeadLetterFilter) -> Result<Page<DeadLetter>, PortError> {
        self.transaction().letters(app, filter)
    }

    async fn get(&self, app: &AppName, id: DeadLetterId) -> Result<Option<DeadLetter>, PortError> {
        self.transaction().letter(app, id)
    }

    async fn redrive(&self, app: &AppName, selection: &LetterSelection) -> Result<LetterBatch, PortError> {
        self.transaction().redrive(app, selection)
    }

    async fn discard(&self, app: &AppName, selection: &LetterSelection) -> Result<LetterBatch, PortError> {
        self.transaction().discard(app, selection)
    }

    async fn count(&self, app: &AppName, selection: &LetterSelection) -> Result<LetterBatch, PortError> {
        self.transaction().count(app, selection)
    }
}

#[async_trait]
impl RetentionStore for SharedMemory {
    async fn prune(&self, kind: RecordKind, age: Micros, limit: u32) -> Result<u32, PortError> {
        Ok(self.transaction().prune(kind, age, limit))
    }

    async fn count_old(&self, kind: RecordKind, age: Micros, count_max: u32) -> Result<u32, PortError> {
        Ok(self.transaction().count_old(kind, age, count_max))
    }
}

#[async_trait]
impl LedgerStore for SharedMemory {
    async fn loops(&self, app: &AppName, limit: u32) -> Result<Vec<LoopEntry>, PortError> {
        self.transaction().loop_entries(app, limit)
    }

    async fn abandoned(
        &self,
        app: &AppName,
        before: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Vec<AbandonedExecution>, PortError> {
        self.transaction().abandoned_of(app, before, limit)
    }
}
