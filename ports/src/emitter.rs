use crate::PortError;
use crate::WakeHandle;
use async_trait::async_trait;
use std::sync::Arc;
use tidegate_core::{AppName, Cause, Delivery, EventId, IdempotencyKey, NewEvent, TriggerId};

/// Emits an app's own events.
#[async_trait]
pub trait EventEmitter: Send + Sync + 'static {
    /// Emits all events of `emission`, or none.
    async fn emit(&self, emission: Emission) -> Result<Vec<EmittedEvent>, PortError>;
}

/// Writes events to the outbox: all of them, each with one row per matching trigger, in one transaction.
#[async_trait]
pub trait OutboxStore: Send + Sync + 'static {
    /// Writes the outbox rows of `emission`. With an idempotency key that was seen before (the same app and key, the
    /// same digest) it changes nothing and answers the ids of the first time, waking nobody.
    async fn emit(&self, emission: &Emission) -> Result<Vec<EmittedEvent>, PortError>;

    /// From now on the dispatcher behind `wake`, which is one of this process, hears of all that is emitted, put and deleted
    /// through this store. Where it has room, the transaction that writes rows claims them for it
    /// ([`WakeHandle::try_inline_claim`]); of the others' lanes it is told after the commit, whether or not the caller still waits.
    /// The first one stays.
    fn attach(&self, wake: WakeHandle);
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
pub struct EmittedEvent {
    /// Its id.
    pub event_id: EventId,
    /// The triggers that got a row of it.
    pub lanes: Vec<TriggerId>,
    /// Whether all its rows are claimed already, for the dispatcher of this process.
    pub is_claimed: bool,
}

impl EmittedEvent {
    /// An event whose rows wait for their claim.
    #[must_use]
    pub const fn new(event_id: EventId, lanes: Vec<TriggerId>) -> Self {
        Self { event_id, lanes, is_claimed: false }
    }

    /// The lanes in which its rows wait for their claim.
    pub fn waiting(&self) -> impl Iterator<Item = TriggerId> {
        self.lanes.iter().copied().filter(|_| !self.is_claimed)
    }

    /// Takes note of what was claimed in the transaction that wrote its rows.
    pub fn note_claimed(&mut self, claimed: &[Delivery]) {
        let is_claimed =
            |trigger: &TriggerId| claimed.iter().any(|row| (row.event.id, row.trigger_id) == (self.event_id, *trigger));
        self.is_claimed = self.lanes.iter().all(is_claimed);
    }
}

/// The emitter of the daemon: the outbox, and the dispatcher in the same process, which hears of it.
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
    /// Emits to `store`, whose rows are for the dispatcher behind `wake` first.
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

/// The emitter of an embedding that wants no triggers: events vanish.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoopEventEmitter;

#[async_trait]
impl EventEmitter for NoopEventEmitter {
    async fn emit(&self, _: Emission) -> Result<Vec<EmittedEvent>, PortError> {
        Ok(Vec::new())
    }
}
