//! The services that the API works with, one port per concern.

use super::store::Store;
use async_trait::async_trait;
use std::fmt;
use std::sync::Arc;
use tidegate_core::StoreError;
use tidegate_driver::{
    AppStore, DeadLetterStore, DeliveryStore, EventEmitter, KvStore, OutboxEventEmitter, OutboxStore, ScriptStore,
    TriggerStore, WakeHandle,
};

/// The bundle of services. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    /// Apps and their deployment.
    pub apps: Arc<dyn AppStore>,
    /// Values.
    pub kv: Arc<dyn KvStore>,
    /// The app's own events: an [`OutboxEventEmitter`].
    pub emitter: Arc<dyn EventEmitter>,
    /// Scripts.
    pub scripts: Arc<dyn ScriptStore>,
    /// Triggers.
    pub triggers: Arc<dyn TriggerStore>,
    /// What waits or runs.
    pub deliveries: Arc<dyn DeliveryStore>,
    /// What will not be tried again by itself.
    pub dead_letters: Arc<dyn DeadLetterStore>,
    /// Whether the store answers.
    pub health: Arc<dyn Health>,
    /// Wakes the dispatcher after a mutation.
    pub wake: WakeHandle,
}

/// Whether the store answers.
#[async_trait]
pub trait Health: Send + Sync + 'static {
    /// Asks it.
    async fn ping(&self) -> Result<(), StoreError>;
}

impl Services {
    /// All of them on one store.
    pub fn on<S: Store>(store: &Arc<S>, wake: WakeHandle) -> Self {
        let outbox: Arc<dyn OutboxStore> = Arc::clone(store) as _;
        Self {
            apps: Arc::clone(store) as _,
            kv: Arc::clone(store) as _,
            emitter: Arc::new(OutboxEventEmitter::new(outbox, wake.clone())),
            scripts: Arc::clone(store) as _,
            triggers: Arc::clone(store) as _,
            deliveries: Arc::clone(store) as _,
            dead_letters: Arc::clone(store) as _,
            health: Arc::clone(store) as _,
            wake,
        }
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}
