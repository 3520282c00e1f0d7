use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tidegate_ports::{
    AppStore, DeadLetterStore, DeliveryStore, DispatchStore, KvStore, LedgerStore, OutboxStore, PrincipalStore,
    QueueStore, ScriptStore, TokenStore, TriggerStore,
};

/// All that a store is to Tidegate: every store port at once.
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
{
}

/// One empty store for one case, and whatever must live as long as it does: a temporary directory, a database.
pub trait World: Send + Sync + 'static {
    /// The store under test.
    type Store: Store;

    /// The store, the same one at each call.
    fn store(&self) -> Arc<Self::Store>;

    /// Cleans up. It is called when the case has passed; after a failure the world is only dropped, so that what the
    /// case left behind can be looked at.
    fn close(self) -> impl Future<Output = ()> + Send
    where
        Self: Sized,
    {
        async {}
    }
}

/// Far longer than any case takes on a busy machine, and short enough that a hang is noticed.
const CASE_MAX: Duration = Duration::from_secs(120);

pub(crate) async fn run<W, F>(world: W, case: impl FnOnce(Arc<W::Store>) -> F)
where
    W: World,
    F: Future<Output = ()>,
{
    tokio::time::timeout(CASE_MAX, case(world.store())).await.expect("the case ends within two minutes");
    world.close().await;
}
