//! An app as its owner and its callers use it. An error of the store fails the case.

use super::build::{app_name, collection, json, key, new_event, on_app, outside, registrant, trigger_name};
use crate::Store;
use std::sync::Arc;
use tidegate_core::{AppName, DeliveryId, IdempotencyKey, NewEvent, Trigger, TriggerId, TriggerSpec};
use tidegate_ports::{
    AppStore, DeadLetter, DeadLetterFilter, DeadLetterStore, DeliveryFilter, DeliveryStore, DeliverySummary,
    Deployment, Emission, EmittedEvent, Guard, KvEntry, KvMutation, KvPage, KvStore, NewPrincipal, OutboxStore, Page,
    PageSize, PortError, PrincipalStore, Script, ScriptStore, TriggerStore,
};

/// An app on the store under test.
#[derive(Debug)]
pub(crate) struct App<S> {
    pub(crate) store: Arc<S>,
    pub(crate) name: AppName,
}

impl<S> Clone for App<S> {
    fn clone(&self) -> Self {
        Self { store: Arc::clone(&self.store), name: self.name.clone() }
    }
}

/// Everything that the ports return for an app, to compare the states before and after an action.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Snapshot {
    pub(crate) deliveries: Vec<DeliverySummary>,
    pub(crate) letters: Vec<DeadLetter>,
    pub(crate) triggers: Vec<Trigger>,
    pub(crate) scripts: Vec<Script>,
    pub(crate) entries: Vec<KvEntry>,
}

/// A limit for lists, larger than the number of rows in any case.
const ALL: PageSize = PageSize { items: 10_000, bytes: u64::MAX };

impl<S: Store> App<S> {
    /// A new app without triggers, called `orders`.
    pub(crate) async fn new(store: &Arc<S>) -> Self {
        Self::named(store, "orders").await
    }

    pub(crate) async fn named(store: &Arc<S>, name: &str) -> Self {
        let app = Self { store: Arc::clone(store), name: app_name(name) };
        let nothing = Deployment { scripts: Vec::new(), triggers: Vec::new(), renames: Vec::new() };
        AppStore::deploy(&*app.store, &app.name, &nothing, &registrant()).await.expect("the app is created");
        let registrant = NewPrincipal { id: registrant(), admin: true, monitor: false, password_hash: None };
        PrincipalStore::add(&*app.store, &registrant).await.expect("the registrant is added");
        app
    }

    /// A new app, and its only trigger: `lane`, on events of the type `go`.
    pub(crate) async fn with_lane(store: &Arc<S>) -> (Self, Trigger) {
        let app = Self::new(store).await;
        let lane = app.trigger(&on_app("lane", "go")).await;
        (app, lane)
    }

    /// Emits `count` events of the type `go`, with the subjects `0`, `1`, …
    pub(crate) async fn go(&self, count: u32) -> Vec<EmittedEvent> {
        self.emit((0..count).map(|n| new_event("go", &n.to_string(), "null")).collect()).await
    }

    pub(crate) async fn trigger(&self, spec: &TriggerSpec) -> Trigger {
        TriggerStore::put(&*self.store, &self.name, spec, &registrant()).await.expect("the trigger is put")
    }

    pub(crate) async fn triggers(&self) -> Vec<Trigger> {
        TriggerStore::list(&*self.store, &self.name).await.expect("the triggers are listed")
    }

    pub(crate) async fn trigger_named(&self, name: &str) -> Option<Trigger> {
        TriggerStore::get(&*self.store, &self.name, &trigger_name(name)).await.expect("the trigger is read")
    }

    pub(crate) async fn delete_trigger(&self, name: &str) -> bool {
        TriggerStore::delete(&*self.store, &self.name, &trigger_name(name)).await.expect("the trigger is deleted")
    }

    pub(crate) async fn set_paused(&self, name: &str, paused: bool) -> Option<Trigger> {
        let name = trigger_name(name);
        TriggerStore::set_paused(&*self.store, &self.name, &name, paused).await.expect("the trigger is paused")
    }

    pub(crate) async fn put(&self, in_collection: &str, at: &str, value: &str) -> KvMutation {
        let (collection, key) = (collection(in_collection), key(at));
        KvStore::put(&*self.store, &self.name, &collection, &key, json(value), Guard::Any, &outside())
            .await
            .expect("the value is put")
    }

    pub(crate) async fn delete(&self, in_collection: &str, at: &str) -> Option<KvMutation> {
        let (collection, key) = (collection(in_collection), key(at));
        KvStore::delete(&*self.store, &self.name, &collection, &key, Guard::Any, &outside())
            .await
            .expect("the value is deleted")
    }

    pub(crate) async fn get(&self, in_collection: &str, at: &str) -> Option<KvEntry> {
        KvStore::get(&*self.store, &self.name, &collection(in_collection), &key(at)).await.expect("the value is read")
    }

    /// The text of the value, if the key has one.
    pub(crate) async fn value(&self, in_collection: &str, at: &str) -> Option<String> {
        self.get(in_collection, at).await.map(|entry| entry.value.as_str().to_owned())
    }

    pub(crate) async fn page(&self, in_collection: &str, page: &KvPage) -> Page<KvEntry> {
        KvStore::list(&*self.store, &self.name, &collection(in_collection), page).await.expect("the keys are listed")
    }

    pub(crate) async fn entries(&self, in_collection: &str) -> Vec<KvEntry> {
        self.page(in_collection, &KvPage { prefix: String::new(), after: None, size: ALL }).await.items
    }

    /// Emits events without a parent event.
    pub(crate) async fn emit(&self, events: Vec<NewEvent>) -> Vec<EmittedEvent> {
        let emission = Emission { app: self.name.clone(), events, cause: outside(), idempotency_key: None };
        OutboxStore::emit(&*self.store, &emission).await.expect("the events are emitted")
    }

    /// Emits events without a parent event, with an idempotency key.
    pub(crate) async fn emit_once(
        &self,
        once: &str,
        digest: &str,
        events: Vec<NewEvent>,
    ) -> Result<Vec<EmittedEvent>, PortError> {
        let idempotency_key = Some(IdempotencyKey { key: once.to_owned(), digest: digest.to_owned() });
        let emission = Emission { app: self.name.clone(), events, cause: outside(), idempotency_key };
        OutboxStore::emit(&*self.store, &emission).await
    }

    pub(crate) async fn deliveries(&self) -> Vec<DeliverySummary> {
        self.deliveries_by(&DeliveryFilter { size: ALL, ..DeliveryFilter::default() }).await
    }

    pub(crate) async fn deliveries_by(&self, filter: &DeliveryFilter) -> Vec<DeliverySummary> {
        self.page_of_deliveries(filter).await.items
    }

    pub(crate) async fn page_of_deliveries(&self, filter: &DeliveryFilter) -> Page<DeliverySummary> {
        DeliveryStore::list(&*self.store, &self.name, filter).await.expect("the deliveries are listed")
    }

    pub(crate) async fn delivery(&self, id: DeliveryId) -> Option<DeliverySummary> {
        DeliveryStore::get(&*self.store, &self.name, id).await.expect("the delivery is read")
    }

    pub(crate) async fn letters(&self) -> Vec<DeadLetter> {
        self.letters_by(&DeadLetterFilter { size: ALL, ..DeadLetterFilter::default() }).await
    }

    pub(crate) async fn letters_by(&self, filter: &DeadLetterFilter) -> Vec<DeadLetter> {
        self.page_of_letters(filter).await.items
    }

    pub(crate) async fn page_of_letters(&self, filter: &DeadLetterFilter) -> Page<DeadLetter> {
        DeadLetterStore::list(&*self.store, &self.name, filter).await.expect("the dead letters are listed")
    }

    pub(crate) async fn scripts(&self) -> Vec<Script> {
        ScriptStore::list(&*self.store, &self.name).await.expect("the scripts are listed")
    }

    /// A snapshot of the app, with the entries of the collection `c`.
    pub(crate) async fn snapshot(&self) -> Snapshot {
        Snapshot {
            deliveries: self.deliveries().await,
            letters: self.letters().await,
            triggers: self.triggers().await,
            scripts: self.scripts().await,
            entries: self.entries("c").await,
        }
    }

    /// The trigger name of every row in the outbox, sorted.
    pub(crate) async fn waiting(&self) -> Vec<String> {
        let mut names: Vec<_> = self.deliveries().await.iter().map(|row| row.trigger.to_string()).collect();
        names.sort();
        names
    }
}

/// The lanes of `emitted`, sorted by id. The ports promise a set without an order.
pub(crate) fn woken(emitted: &EmittedEvent) -> Vec<TriggerId> {
    let mut lanes = emitted.lanes.clone();
    lanes.sort();
    lanes
}
