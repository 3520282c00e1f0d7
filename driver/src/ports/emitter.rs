use super::PortError;
use crate::WakeHandle;
use async_trait::async_trait;
use std::sync::Arc;
use tidegate_core::{AppName, Cause, EventId, IdempotencyKey, NewEvent, TriggerId};

/// Emits an app's own events.
#[async_trait]
pub trait EventEmitter: Send + Sync + 'static {
    /// Emits all events of `emission`, or none.
    async fn emit(&self, emission: Emission) -> Result<Vec<Emitted>, PortError>;
}

/// Writes events to the outbox: all of them, each with one row per matching trigger, in one transaction.
#[async_trait]
pub trait OutboxStore: Send + Sync + 'static {
    /// Writes the outbox rows of `emission`. With an idempotency key that was seen before (the same app and key, the
    /// same digest) it changes nothing and answers the ids of the first time, waking nobody.
    async fn emit(&self, emission: &Emission) -> Result<Vec<Emitted>, PortError>;
}

/// Events to emit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emission {
    /// The app that they happened in.
    pub app: AppName,
    /// In order.
    pub events: Vec<NewEvent>,
    /// Who caused them.
    pub cause: Cause,
    /// Makes a repeated request harmless. Kept for a day.
    pub idempotency_key: Option<IdempotencyKey>,
}

/// An event that was emitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emitted {
    /// Its id.
    pub event_id: EventId,
    /// The triggers that got a row of it.
    pub woken: Vec<TriggerId>,
}

/// The emitter of the daemon: the outbox, and a wake for the dispatcher in the same process.
#[derive(Clone)]
pub struct OutboxEventEmitter {
    store: Arc<dyn OutboxStore>,
    wake: WakeHandle,
}

impl std::fmt::Debug for OutboxEventEmitter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutboxEventEmitter").finish_non_exhaustive()
    }
}

impl OutboxEventEmitter {
    /// Emits to `store` and wakes the dispatcher behind `wake`.
    #[must_use]
    pub fn new(store: Arc<dyn OutboxStore>, wake: WakeHandle) -> Self {
        Self { store, wake }
    }
}

#[async_trait]
impl EventEmitter for OutboxEventEmitter {
    async fn emit(&self, emission: Emission) -> Result<Vec<Emitted>, PortError> {
        let emitted = self.store.emit(&emission).await?;
        self.wake.wake(emitted.iter().flat_map(|one| one.woken.iter().copied()));
        Ok(emitted)
    }
}

/// The emitter of an embedding that wants no triggers: events vanish.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoopEventEmitter;

#[async_trait]
impl EventEmitter for NoopEventEmitter {
    async fn emit(&self, _: Emission) -> Result<Vec<Emitted>, PortError> {
        Ok(Vec::new())
    }
}
