use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tidegate_ports::{
    AppStore, DeadLetterStore, DeliveryStore, DispatchStore, KvStore, LedgerStore, OutboxStore, PrincipalStore,
    QueueStore, RetentionStore, ScriptStore, TokenStore, TriggerStore,
};

/// Every port of a store, as one trait.
pub trait Store:
    DispatchStore
    + KvStore
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

impl<S> Store for S where
    S: DispatchStore
        + KvStore
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

/// One empty store for one case, with the resources that must exist as long as the store: a
/// temporary directory or a database.
pub trait World: Send + Sync + 'static {
    /// The store under test.
    type Store: Store;

    /// The store. Every call returns the same store.
    fn store(&self) -> Arc<Self::Store>;

    /// Cleans up after a case that passed. After a failure the world is only dropped, so that its
    /// database can be inspected.
    fn close(self) -> impl Future<Output = ()> + Send
    where
        Self: Sized,
    {
        async {}
    }
}

/// Much longer than any case takes on a busy machine, and short enough that a hang fails the case.
const CASE_MAX: Duration = Duration::from_secs(120);

pub(crate) async fn run<W, F>(world: W, case: impl FnOnce(Arc<W::Store>) -> F)
where
    W: World,
    F: Future<Output = ()>,
{
    tokio::time::timeout(CASE_MAX, case(world.store())).await.expect("the case ends within two minutes");
    world.close().await;
}
