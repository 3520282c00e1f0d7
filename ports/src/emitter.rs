use crate::PortError;
use crate::WakeHandle;
use async_trait::async_trait;
use std::sync::Arc;
use tidegate_core::{AppName, Cause, Delivery, EventId, IdempotencyKey, NewEvent, TriggerId};

/// Emits the events of an app.
#[async_trait]
pub trait EventEmitter: Send + Sync + 'static {
    /// Emits all events of `emission` or none of them.
    async fn emit(&self, emission: Emission) -> Result<Vec<EmittedEvent>, PortError>;
}

/// Writes events to the outbox, with one row for each event and matching trigger, in one
/// transaction.
#[async_trait]
pub trait OutboxStore: Send + Sync + 'static {
    /// Writes the outbox rows of `emission`.
    ///
    /// If an emission of the same app with the same idempotency key and digest was written before,
    /// this call writes nothing, wakes no lane, and returns the event ids of the first emission.
    async fn emit(&self, emission: &Emission) -> Result<Vec<EmittedEvent>, PortError>;

    /// Connects the store to the dispatcher of this process.
    ///
    /// From now on, a transaction of this store that emits events, puts a value or deletes one
    /// makes an inline claim if there is room ([`WakeHandle::try_inline_claim`]). The store wakes
    /// the lanes of all unclaimed rows after the commit, even if the caller has dropped its future.
    /// Only the first call has an effect.
    fn attach(&self, wake: WakeHandle);
}

/// Events to emit in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emission {
    /// The app of all events.
    pub app: AppName,
    /// The events in the order in which they are written.
    pub events: Vec<NewEvent>,
    /// The cause of all events.
    pub cause: Cause,
    /// The store keeps the key for a day. A repeated emission with the key writes nothing.
    pub idempotency_key: Option<IdempotencyKey>,
}

/// An event that was emitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmittedEvent {
    pub event_id: EventId,
    /// The lanes that got a row of the event.
    pub lanes: Vec<TriggerId>,
    /// Whether an inline claim took all rows of the event.
    pub is_claimed: bool,
}

impl EmittedEvent {
    /// An event whose rows are all unclaimed.
    #[must_use]
    pub const fn new(event_id: EventId, lanes: Vec<TriggerId>) -> Self {
        Self { event_id, lanes, is_claimed: false }
    }

    /// The lanes to wake: all lanes of the event's rows, or none if an inline claim took all of the
    /// rows.
    pub fn unclaimed_lanes(&self) -> impl Iterator<Item = TriggerId> {
        self.lanes.iter().copied().filter(|_| !self.is_claimed)
    }

    /// Sets `is_claimed` from the rows that the inline claim of the same transaction took.
    pub fn note_claimed(&mut self, claimed: &[Arc<Delivery>]) {
        let is_claimed =
            |trigger: &TriggerId| claimed.iter().any(|row| (row.event.id, row.trigger_id) == (self.event_id, *trigger));
        self.is_claimed = self.lanes.iter().all(is_claimed);
    }
}

/// The emitter of the daemon. It writes to the outbox and wakes the dispatcher of the same process.
#[derive(Clone)]
pub struct OutboxEventEmitter {
    store: Arc<dyn OutboxStore>,
}

impl std::fmt::Debug for OutboxEventEmitter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutboxEventEmitter").finish_non_exhaustive()
    }
}

impl OutboxEventEmitter {
    /// Emits to `store` and connects `store` to the dispatcher that `wake` wakes.
    #[must_use]
    pub fn new(store: Arc<dyn OutboxStore>, wake: WakeHandle) -> Self {
        store.attach(wake);
        Self { store }
    }
}

#[async_trait]
impl EventEmitter for OutboxEventEmitter {
    async fn emit(&self, emission: Emission) -> Result<Vec<EmittedEvent>, PortError> {
        self.store.emit(&emission).await
    }
}

/// The emitter of an embedding program without triggers. It drops every event.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoopEventEmitter;

#[async_trait]
impl EventEmitter for NoopEventEmitter {
    async fn emit(&self, _: Emission) -> Result<Vec<EmittedEvent>, PortError> {
        Ok(Vec::new())
    }
}
