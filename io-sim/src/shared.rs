//! The store behind the ports, for what is async: one lock is one transaction.

use crate::memory::Memory;
use async_trait::async_trait;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tidegate_core::{
    AppName, Cause, Collection, DeadLetterId, DeliveryId, ExchangeReply, Json, Key, PrincipalId, Reply, Request, Role,
    ScriptName, StoreError, Timestamp, Trigger, TriggerName, TriggerSpec,
};
use tidegate_ports::{
    AbandonedExecution, AppStore, AppSummary, Bearer, DeadLetter, DeadLetterFilter, DeadLetterStore, DeliveryFilter,
    DeliveryStore, DeliverySummary, DeployReport, Deployment, DispatchStore, Emission, EmittedEvent, Guard, KvEntry,
    KvMutation, KvPage, KvStore, LedgerStore, LetterBatch, LetterSelection, LoopEntry, NewPrincipal, NewToken,
    OutboxStore, PortError, PrincipalRecord, PrincipalStore, QueueState, QueueStore, Script, ScriptStore, TokenRecord,
    TokenStore, TriggerStore, WakeHandle,
};

/// A [`Memory`] that many may use, with a clock of the caller's choice.
#[derive(Clone)]
pub struct SharedMemory {
    memory: Arc<Mutex<Memory>>,
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    dispatcher: Arc<OnceLock<WakeHandle>>,
}

impl std::fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedMemory").finish_non_exhaustive()
    }
}

impl SharedMemory {
    /// An empty store whose every call happens when `clock` says.
    pub fn new(clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { memory: Arc::default(), clock: Arc::new(clock), dispatcher: Arc::default() }
    }

    /// An empty store by this machine's clock. No two calls happen at the same microsecond, as with any store that takes
    /// a while: what has a lease of one has none at the next call.
    #[must_use]
    pub fn by_wall_clock() -> Self {
        let last = AtomicI64::new(0);
        Self::new(move || {
            let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64);
            let later = |last: i64| wall.max(last + 2);
            Timestamp(later(last.update(Ordering::Relaxed, Ordering::Relaxed, later)))
        })
    }

    /// A transaction that has `emitted`: the dispatcher of this process hears of it, and gets its rows if it has room.
    fn emitting<T>(
        &self,
        work: impl FnOnce(&mut Memory) -> Result<T, PortError>,
        emitted: impl FnOnce(&mut T) -> &mut [EmittedEvent],
    ) -> Result<T, PortError> {
        let offer = self.dispatcher.get().and_then(WakeHandle::try_inline_claim);
        let mut memory = self.transaction();
        let mut done = work(&mut memory)?;
        let emitted = emitted(&mut done);
        if let Some(offer) = offer {
            let claim = offer.room().quotas(emitted.iter().flat_map(|one| one.lanes.iter().copied()), memory.now());
            let request = Request::Exchange { settle: Vec::new(), claim, lease_for: offer.lease_for() };
            if let Reply::Exchange(ExchangeReply { claimed, .. }) = memory.call(request) {
                emitted.iter_mut().for_each(|one| one.note_claimed(&claimed));
                offer.claimed(claimed);
            }
        }
        if let Some(dispatcher) = self.dispatcher.get() {
            dispatcher.wake(emitted.iter().flat_map(EmittedEvent::waiting));
        }
        Ok(done)
    }

    /// One transaction.
    pub fn transaction(&self) -> MutexGuard<'_, Memory> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.set_now((self.clock)());
        memory
    }
}

impl DispatchStore for SharedMemory {
    async fn call(&self, request: Request) -> Result<Reply, StoreError> {
        Ok(self.transaction().call(request))
    }
}

#[async_trait]
impl KvStore for SharedMemory {
    async fn get(&self, app: &AppName, collection: &Collection, key: &Key) -> Result<Option<KvEntry>, PortError> {
        self.transaction().get(app, collection, key)
    }

    async fn put(
        &self,
        app: &AppName,
        collection: &Collection,
        key: &Key,
        value: Json,
        guard: Guard,
        cause: &Cause,
    ) -> Result<KvMutation, PortError> {
        let put = |memory: &mut Memory| memory.put(app, collection, key, value, guard, cause);
        self.emitting(put, |mutated| std::slice::from_mut(&mut mutated.emitted))
    }

    async fn delete(
        &self,
        app: &AppName,
        collection: &Collection,
        key: &Key,
        guard: Guard,
        cause: &Cause,
    ) -> Result<Option<KvMutation>, PortError> {
        let delete = |memory: &mut Memory| memory.delete(app, collection, key, guard, cause);
        self.emitting(delete, |mutated| mutated.as_mut().map_or(&mut [], |one| std::slice::from_mut(&mut one.emitted)))
    }

    async fn list(&self, app: &AppName, collection: &Collection, page: &KvPage) -> Result<Vec<KvEntry>, PortError> {
        self.transaction().list(app, collection, page)
    }
}

#[async_trait]
impl OutboxStore for SharedMemory {
    async fn emit(&self, emission: &Emission) -> Result<Vec<EmittedEvent>, PortError> {
        self.emitting(|memory| memory.emit(emission), Vec::as_mut_slice)
    }

    fn attach(&self, wake: WakeHandle) {
        self.dispatcher.set(wake).ok();
    }
}

#[async_trait]
impl TriggerStore for SharedMemory {
    async fn list(&self, app: &AppName) -> Result<Vec<Trigger>, PortError> {
        let memory = self.transaction();
        memory.require(app)?;
        Ok(memory.list_triggers_of(app))
    }

    async fn get(&self, app: &AppName, name: &TriggerName) -> Result<Option<Trigger>, PortError> {
        let memory = self.transaction();
        memory.require(app)?;
        Ok(memory.list_triggers_of(app).into_iter().find(|trigger| trigger.spec.name == *name))
    }

    async fn put(&self, app: &AppName, spec: &TriggerSpec, by: &PrincipalId) -> Result<Trigger, PortError> {
        let mut memory = self.transaction();
        memory.require(app)?;
        Ok(memory.set_trigger(app, spec, by).0)
    }

    async fn delete(&self, app: &AppName, name: &TriggerName) -> Result<bool, PortError> {
        let mut memory = self.transaction();
        memory.require(app)?;
        Ok(memory.kill_trigger(app, name))
    }

    async fn set_paused(&self, app: &AppName, name: &TriggerName, paused: bool) -> Result<Option<Trigger>, PortError> {
        self.transaction().pause(app, name, paused)
    }
}

#[async_trait]
impl ScriptStore for SharedMemory {
    async fn list(&self, app: &AppName) -> Result<Vec<Script>, PortError> {
        let memory = self.transaction();
        memory.require(app)?;
        Ok(memory.scripts_of(app))
    }

    async fn get(&self, app: &AppName, name: &ScriptName) -> Result<Option<Script>, PortError> {
        let memory = self.transaction();
        memory.require(app)?;
        Ok(memory.scripts.get(&(app.clone(), name.clone())).cloned())
    }

    async fn put(&self, app: &AppName, name: &ScriptName, source: &str) -> Result<Script, PortError> {
        let mut memory = self.transaction();
        memory.require(app)?;
        Ok(memory.set_script(app, name, source).0)
    }

    async fn delete(&self, app: &AppName, name: &ScriptName) -> Result<bool, PortError> {
        let mut memory = self.transaction();
        memory.require(app)?;
        Ok(memory.scripts.remove(&(app.clone(), name.clone())).is_some())
    }
}

#[async_trait]
impl AppStore for SharedMemory {
    async fn list(&self) -> Result<Vec<AppSummary>, PortError> {
        Ok(self.transaction().list_apps())
    }

    async fn exists(&self, app: &AppName) -> Result<bool, PortError> {
        Ok(self.transaction().require(app).is_ok())
    }

    async fn deploy(
        &self,
        app: &AppName,
        deployment: &Deployment,
        by: &PrincipalId,
    ) -> Result<DeployReport, PortError> {
        Ok(self.transaction().deploy(app, deployment, by))
    }
}

#[async_trait]
impl DeliveryStore for SharedMemory {
    async fn list(&self, app: &AppName, filter: &DeliveryFilter) -> Result<Vec<DeliverySummary>, PortError> {
        self.transaction().deliveries(app, filter)
    }

    async fn get(&self, app: &AppName, id: DeliveryId) -> Result<Option<DeliverySummary>, PortError> {
        self.transaction().delivery(app, id)
    }
}

#[async_trait]
impl PrincipalStore for SharedMemory {
    async fn list(&self) -> Result<Vec<PrincipalRecord>, PortError> {
        Ok(self.transaction().list_principals())
    }

    async fn get(&self, id: &PrincipalId) -> Result<Option<PrincipalRecord>, PortError> {
        Ok(self.transaction().principals.get(id).map(|account| account.record.clone()))
    }

    async fn add(&self, new: &NewPrincipal) -> Result<bool, PortError> {
        Ok(self.transaction().add_principal(new))
    }

    async fn set_disabled(&self, id: &PrincipalId, disabled: bool) -> Result<bool, PortError> {
        Ok(self.transaction().set_disabled(id, disabled))
    }

    async fn set_password(&self, id: &PrincipalId, hash: &str) -> Result<bool, PortError> {
        Ok(self.transaction().change(id, |account| account.hash = Some(hash.to_owned())))
    }

    async fn password_hash(&self, id: &PrincipalId) -> Result<Option<String>, PortError> {
        Ok(self.transaction().principals.get(id).and_then(|account| account.hash.clone()))
    }

    async fn delete(&self, id: &PrincipalId) -> Result<bool, PortError> {
        Ok(self.transaction().delete_principal(id))
    }

    async fn set_role(&self, id: &PrincipalId, app: &AppName, role: Option<Role>) -> Result<bool, PortError> {
        Ok(self.transaction().set_role(id, app, role))
    }
}

#[async_trait]
impl TokenStore for SharedMemory {
    async fn tokens(&self) -> Result<Vec<TokenRecord>, PortError> {
        Ok(self.transaction().list_tokens())
    }

    async fn add_token(&self, new: &NewToken) -> Result<bool, PortError> {
        Ok(self.transaction().add_token(new))
    }

    async fn delete_token(&self, name: &str) -> Result<bool, PortError> {
        Ok(self.transaction().delete_token(name))
    }

    async fn bearer(&self, digest: &[u8; 32]) -> Result<Option<Bearer>, PortError> {
        Ok(self.transaction().bearer(digest))
    }
}

#[async_trait]
impl QueueStore for SharedMemory {
    async fn queues(&self, count_max: u32) -> Result<(Timestamp, Vec<QueueState>), PortError> {
        let memory = self.transaction();
        Ok((memory.now(), memory.queues(count_max)))
    }
}

#[async_trait]
impl DeadLetterStore for SharedMemory {
    async fn list(&self, app: &AppName, filter: &DeadLetterFilter) -> Result<Vec<DeadLetter>, PortError> {
        self.transaction().letters(app, filter)
    }

    async fn get(&self, app: &AppName, id: DeadLetterId) -> Result<Option<DeadLetter>, PortError> {
        self.transaction().letter(app, id)
    }

    async fn redrive(&self, app: &AppName, selection: &LetterSelection) -> Result<LetterBatch, PortError> {
        self.transaction().redrive(app, selection)
    }

    async fn discard(&self, app: &AppName, selection: &LetterSelection) -> Result<LetterBatch, PortError> {
        self.transaction().discard(app, selection)
    }

    async fn count(&self, app: &AppName, selection: &LetterSelection) -> Result<LetterBatch, PortError> {
        self.transaction().count(app, selection)
    }
}

#[async_trait]
impl LedgerStore for SharedMemory {
    async fn loops(&self, app: &AppName, limit: u32) -> Result<Vec<LoopEntry>, PortError> {
        self.transaction().loop_entries(app, limit)
    }

    async fn abandoned(
        &self,
        app: &AppName,
        before: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Vec<AbandonedExecution>, PortError> {
        self.transaction().abandoned_of(app, before, limit)
    }
}
