//! The services behind the HTTP API: the ports of the store, sync calls, the gate, script threads,
//! metrics, principals.

mod health;
mod metrics;
mod principals;
mod retention;
mod script_threads;

pub use health::Health;
pub(crate) use metrics::{MeasuredStore, MetricsObserver};
pub use metrics::{Metrics, Scraper};
pub use principals::AdminPrincipalResolver;
pub use retention::{Janitor, Retention};
pub use script_threads::{ScriptThreads, ThreadState};

use health::CachedHealth;
use std::fmt;
use std::sync::Arc;
use tidegate_driver::{GateHandle, SyncCaller};
use tidegate_ports::{
    AppStore, DeadLetterStore, DeliveryStore, EventEmitter, KvStore, LedgerStore, OutboxEventEmitter, OutboxStore,
    PrincipalStore, QueueStore, RetentionStore, ScriptStore, TokenStore, TriggerStore, WakeHandle,
};

/// All ports of a store that the HTTP API needs.
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
    + RetentionStore
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
        + RetentionStore
{
}

/// The services behind the HTTP API. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    pub apps: Arc<dyn AppStore>,
    pub kv: Arc<dyn KvStore>,
    /// Emits the events of apps. An [`OutboxEventEmitter`].
    pub emitter: Arc<dyn EventEmitter>,
    pub scripts: Arc<dyn ScriptStore>,
    pub triggers: Arc<dyn TriggerStore>,
    pub deliveries: Arc<dyn DeliveryStore>,
    pub dead_letters: Arc<dyn DeadLetterStore>,
    pub queues: Arc<dyn QueueStore>,
    /// Loops and abandoned executions, which end without a dead letter.
    pub ledgers: Arc<dyn LedgerStore>,
    pub health: Arc<dyn Health>,
    /// Wakes the dispatcher after rows are written.
    pub wake: WakeHandle,
    pub caller: SyncCaller,
    pub gate: GateHandle,
    pub threads: Arc<dyn ScriptThreads>,
    pub metrics: Scraper,
    /// Users, tokens that act for themselves, and the roles of both.
    pub principals: Arc<dyn PrincipalStore>,
    pub tokens: Arc<dyn TokenStore>,
    pub janitor: Janitor,
    /// Looks up the current rights of a principal.
    pub resolver: Arc<AdminPrincipalResolver>,
}

/// The handles on a running dispatcher.
pub struct DispatcherHandles {
    pub wake: WakeHandle,
    pub caller: SyncCaller,
    pub gate: GateHandle,
    /// The threads of its executor.
    pub threads: Arc<dyn ScriptThreads>,
}

impl fmt::Debug for DispatcherHandles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DispatcherHandles").finish_non_exhaustive()
    }
}

impl Services {
    /// Builds the services on one store. `health` pings the same store.
    pub fn on<S: Ports>(
        store: &Arc<S>,
        health: Arc<dyn Health>,
        dispatcher: DispatcherHandles,
        metrics: Metrics,
        resolver: Arc<AdminPrincipalResolver>,
        retention: Retention,
    ) -> Self {
        let DispatcherHandles { wake, caller, gate, threads } = dispatcher;
        let janitor = Janitor::new(Arc::clone(store) as _, retention, metrics.clone());
        let outbox: Arc<dyn OutboxStore> = Arc::clone(store) as _;
        Self {
            apps: Arc::clone(store) as _,
            kv: Arc::clone(store) as _,
            emitter: Arc::new(OutboxEventEmitter::new(outbox, wake.clone())),
            scripts: Arc::clone(store) as _,
            triggers: Arc::clone(store) as _,
            deliveries: Arc::clone(store) as _,
            dead_letters: Arc::clone(store) as _,
            queues: Arc::clone(store) as _,
            ledgers: Arc::clone(store) as _,
            health: Arc::new(CachedHealth::new(health)),
            wake,
            caller,
            metrics: Scraper::new(
                metrics,
                gate.clone(),
                Arc::clone(&threads),
                Arc::clone(store) as _,
                Arc::clone(store) as _,
            ),
            gate,
            threads,
            principals: Arc::clone(store) as _,
            tokens: Arc::clone(store) as _,
            janitor,
            resolver,
        }
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}
