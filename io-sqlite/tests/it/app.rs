//! An app on a store, for the tests of this crate.

use futures_util::future::try_join_all;
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use tidegate_core::{
    AppName, Cause, Collection, Delivery, EventType, ExchangeReply, Handler, Isolation, Json, Key, LaneQuota, Match,
    Micros, NewEvent, Pattern, PrincipalId, Reply, Request, RetryPolicy, ScriptName, Subject, SuspectClaim, TimeoutMs,
    Timestamp, TriggerId, TriggerName, TriggerSpec,
};
use tidegate_io_sqlite::SqliteStore;
use tidegate_ports::{
    AppStore, DeliveryFilter, DeliveryStore, DeliverySummary, Deployment, DispatchStore, Emission, EmittedEvent, Guard,
    KvMutation, KvPage, KvStore, OutboxStore, PageSize, PortError, TriggerStore,
};

/// An app with one trigger, `lane`, on events of the type `go`.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) name: AppName,
}

impl App {
    /// An app that exists.
    pub(crate) fn on(store: &Arc<SqliteStore>, name: &str) -> Self {
        Self { store: Arc::clone(store), name: AppName::new(name).expect("a valid name") }
    }

    /// Creates the app if it does not exist, and deploys its trigger.
    pub(crate) async fn deploy(store: &Arc<SqliteStore>, name: &str) -> Self {
        let app = Self::on(store, name);
        app.deploy_triggers(vec![on_app("lane", "go", "*")]).await;
        app
    }

    pub(crate) async fn deploy_triggers(&self, triggers: Vec<TriggerSpec>) {
        let deployment = Deployment { scripts: Vec::new(), triggers, renames: Vec::new() };
        AppStore::deploy(&*self.store, &self.name, &deployment, &actor()).await.expect("the app is deployed");
    }

    pub(crate) async fn try_put_if(&self, key: &str, value: &str, guard: Guard) -> Result<KvMutation, PortError> {
        let (key, value) = (Key::new(key).expect("a valid key"), Json::parse(value).expect("valid JSON"));
        KvStore::put(&*self.store, &self.name, &collection(), &key, value, guard, &Cause::outside(actor())).await
    }

    pub(crate) async fn try_put(&self, key: &str, value: &str) -> Result<KvMutation, PortError> {
        self.try_put_if(key, value, Guard::Any).await
    }

    pub(crate) async fn put(&self, key: &str, value: &str) -> KvMutation {
        self.try_put(key, value).await.expect("the value is put")
    }

    /// Puts all keys at the same time.
    pub(crate) async fn put_all(&self, keys: &[String]) {
        try_join_all(keys.iter().map(|key| self.try_put(key, "1"))).await.expect("the values are put");
    }

    pub(crate) async fn keys(&self) -> Vec<String> {
        let page = KvPage { prefix: String::new(), after: None, size: PageSize::of(10_000) };
        let entries = KvStore::list(&*self.store, &self.name, &collection(), &page).await.expect("the keys are listed");
        entries.items.into_iter().map(|entry| entry.key.into()).collect()
    }

    pub(crate) async fn emit_events(&self, events: Vec<NewEvent>) -> Vec<EmittedEvent> {
        let cause = Cause::outside(actor());
        let emission = Emission { app: self.name.clone(), events, cause, idempotency_key: None };
        OutboxStore::emit(&*self.store, &emission).await.expect("the events are emitted")
    }

    pub(crate) async fn emit(&self, count: usize) {
        self.emit_events((0..count).map(|_| event("go", "s")).collect()).await;
    }

    /// Claims rows of the lane. Returns the store's time of the claim, and the rows.
    pub(crate) async fn claim(&self, quota: u32, lease_for: Micros) -> (Timestamp, Vec<Arc<Delivery>>) {
        let claim = vec![LaneQuota { trigger: self.lane().await, quota, starts: quota, look_back: Timestamp::EPOCH }];
        self.exchange(claim, None, lease_for).await
    }

    /// Ends the expired claims of the lane, and claims its first suspect without a back-off.
    pub(crate) async fn claim_suspect(&self, lease_for: Micros) -> (Timestamp, Vec<Arc<Delivery>>) {
        let suspect = SuspectClaim { trigger: self.lane().await, quota: 1, backoff: Micros::ZERO };
        self.exchange(Vec::new(), Some(suspect), lease_for).await
    }

    async fn lane(&self) -> TriggerId {
        let lane = TriggerName::new("lane").expect("a valid name");
        let lane = TriggerStore::get(&*self.store, &self.name, &lane).await.expect("the lane is read");
        lane.expect("the lane exists").id
    }

    async fn exchange(
        &self,
        claim: Vec<LaneQuota>,
        suspect: Option<SuspectClaim>,
        lease_for: Micros,
    ) -> (Timestamp, Vec<Arc<Delivery>>) {
        match self
            .store
            .call(Request::Exchange { settle: Vec::new(), claim, suspect, lease_for, claim_bytes_max: u64::MAX })
            .await
        {
            Ok(Reply::Exchange(ExchangeReply { now, claimed, .. })) => (now, claimed),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn deliveries(&self) -> Vec<DeliverySummary> {
        let filter = DeliveryFilter { size: PageSize::of(10_000), ..DeliveryFilter::default() };
        DeliveryStore::list(&*self.store, &self.name, &filter).await.expect("the deliveries are listed").items
    }
}

/// Takes the write lock of the file. The writer of the store waits until the connection is dropped.
pub(crate) fn lock_for_writing(path: &Path) -> Connection {
    let connection = Connection::open(path).expect("the file opens");
    connection.execute_batch("begin immediate").expect("no other connection writes");
    connection
}

pub(crate) fn actor() -> PrincipalId {
    PrincipalId::new("user:ada").expect("a valid principal")
}

fn collection() -> Collection {
    Collection::new("c").expect("a valid collection")
}

pub(crate) fn event(event_type: &str, subject: &str) -> NewEvent {
    NewEvent {
        event_type: EventType::new(event_type).expect("a valid type"),
        subject: Subject::new(subject).expect("a valid subject"),
        data: Json::null(),
    }
}

pub(crate) fn on_app(name: &str, event_type: &str, subject: &str) -> TriggerSpec {
    let pattern = |text: &str| Pattern::new(text).expect("a valid pattern");
    TriggerSpec {
        name: TriggerName::new(name).expect("a valid name"),
        rule: Match::App { event_type: pattern(event_type), subject: pattern(subject) },
        handler: Handler::Native(ScriptName::new("noop").expect("a valid name")),
        retry: RetryPolicy::default(),
        timeout_ms: TimeoutMs::default(),
        max_concurrency: None,
        isolation: Isolation::default(),
        enabled: true,
    }
}
