//! The services that the API works with, one port per concern.

mod health;
mod metrics;
mod principals;

pub use health::Health;
pub(crate) use metrics::{MeasuredStore, MetricsObserver};
pub use metrics::{Metrics, Scraper};
pub use principals::AdminPrincipalResolver;

use health::CachedHealth;
use std::fmt;
use std::sync::Arc;
use tidegate_driver::{GateHandle, SyncCaller};
use tidegate_ports::{
    AppStore, DeadLetterStore, DeliveryStore, EventEmitter, KvStore, LedgerStore, OutboxEventEmitter, OutboxStore,
    PrincipalStore, QueueStore, ScriptStore, TokenStore, TriggerStore, WakeHandle,
};

/// Every port of a store that requests need.
pub trait Ports:
    KvStore
    + OutboxStore
    + TriggerStore
    + ScriptStore
    + AppStore
    + DeliveryStore
    + DeadLetterStore
    + LedgerStore
    + PrincipalStore
    + TokenStore
    + QueueStore
{
}

impl<S> Ports for S where
    S: KvStore
        + OutboxStore
        + TriggerStore
        + ScriptStore
        + AppStore
        + DeliveryStore
        + DeadLetterStore
        + LedgerStore
        + PrincipalStore
        + TokenStore
        + QueueStore
{
}

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
    /// What ended without one.
    pub ledgers: Arc<dyn LedgerStore>,
    /// Whether the store answers.
    pub health: Arc<dyn Health>,
    /// Wakes the dispatcher after a mutation.
    pub wake: WakeHandle,
    /// Makes sync calls.
    pub caller: SyncCaller,
    /// The execution gate.
    pub gate: GateHandle,
    /// Tells what is measured.
    pub metrics: Scraper,
    /// Users, tokens that act for themselves, and their roles.
    pub principals: Arc<dyn PrincipalStore>,
    /// Tokens.
    pub tokens: Arc<dyn TokenStore>,
    /// Who somebody is now.
    pub resolver: Arc<AdminPrincipalResolver>,
}

impl Services {
    /// All of them on one store, which `health` asks for its health.
    pub fn on<S: Ports>(
        store: &Arc<S>,
        health: Arc<dyn Health>,
        wake: WakeHandle,
        caller: SyncCaller,
        gate: GateHandle,
        metrics: Metrics,
        resolver: Arc<AdminPrincipalResolver>,
    ) -> Self {
        let outbox: Arc<dyn OutboxStore> = Arc::clone(store) as _;
        Self {
            apps: Arc::clone(store) as _,
            kv: Arc::clone(store) as _,
            emitter: Arc::new(OutboxEventEmitter::new(outbox, wake.clone())),
            scripts: Arc::clone(store) as _,
            triggers: Arc::clone(store) as _,
            deliveries: Arc::clone(store) as _,
            dead_letters: Arc::clone(store) as _,
            ledgers: Arc::clone(store) as _,
            health: Arc::new(CachedHealth::new(health)),
            wake,
            caller,
            metrics: Scraper::new(metrics, gate.clone(), Arc::clone(store) as _),
            gate,
            principals: Arc::clone(store) as _,
            tokens: Arc::clone(store) as _,
            resolver,
        }
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}
