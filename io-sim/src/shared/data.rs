//! The ports that read and write values and emit events, and the dispatcher's port.

use super::SharedMemory;
use crate::memory::Memory;
use async_trait::async_trait;
use tidegate_core::{AppName, Cause, Collection, Json, Key, Reply, Request, StoreError};
use tidegate_ports::{
    DispatchStore, Emission, EmittedEvent, Guard, KvEntries, KvEntry, KvMutation, KvPage, KvStore, OutboxStore,
    PortError, WakeHandle,
};

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
        self.write_with_inline_claim(put, |mutated| std::slice::from_mut(&mut mutated.emitted))
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
        self.write_with_inline_claim(delete, |mutated| {
            mutated.as_mut().map_or(&mut [], |mutation| std::slice::from_mut(&mut mutation.emitted))
        })
    }

    async fn list(&self, app: &AppName, collection: &Collection, page: &KvPage) -> Result<KvEntries, PortError> {
        self.transaction().list(app, collection, page)
    }
}

#[async_trait]
impl OutboxStore for SharedMemory {
    async fn emit(&self, emission: &Emission) -> Result<Vec<EmittedEvent>, PortError> {
        self.write_with_inline_claim(|memory| memory.emit(emission), Vec::as_mut_slice)
    }

    fn attach(&self, wake: WakeHandle) {
        self.dispatcher.set(wake).ok();
    }
}
