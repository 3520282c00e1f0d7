//! The values of an app, and the events that it emits.

use crate::fan_out::kv_event;
use crate::memory::Memory;
use crate::rows::Value;
use tidegate_core::{AppName, Cause, Collection, Json, Key, KvOp, NewEvent, Source, Version};
use tidegate_ports::{Emission, EmittedEvent, Guard, KvEntries, KvEntry, KvMutation, KvPage, PortError};

impl Memory {
    /// Reads a value with its version.
    pub fn get(&self, app: &AppName, collection: &Collection, key: &Key) -> Result<Option<KvEntry>, PortError> {
        self.require_app(app)?;
        let address = (app.clone(), collection.clone(), key.clone());
        Ok(self.kv.get(&address).map(|value| entry(key, value)))
    }

    /// Sets a value if `guard` holds.
    pub fn put(
        &mut self,
        app: &AppName,
        collection: &Collection,
        key: &Key,
        value: Json,
        guard: Guard,
        cause: &Cause,
    ) -> Result<KvMutation, PortError> {
        self.require_app(app)?;
        self.check_guard(app, collection, key, guard)?;
        let (version, updated_at) = (self.next_version(), self.now);
        let event = kv_event(KvOp::Set, collection, key, Some(&value), version);
        self.kv.insert((app.clone(), collection.clone(), key.clone()), Value { value, version, updated_at });
        let emitted = self.emit_one(app, Source::Kv, event, cause);
        Ok(KvMutation { version, updated_at, emitted })
    }

    /// Deletes a value if `guard` holds. Returns `None` if there was no value.
    pub fn delete(
        &mut self,
        app: &AppName,
        collection: &Collection,
        key: &Key,
        guard: Guard,
        cause: &Cause,
    ) -> Result<Option<KvMutation>, PortError> {
        self.require_app(app)?;
        self.check_guard(app, collection, key, guard)?;
        if self.kv.remove(&(app.clone(), collection.clone(), key.clone())).is_none() {
            return Ok(None);
        }
        let (version, updated_at) = (self.next_version(), self.now);
        let event = kv_event(KvOp::Delete, collection, key, None, version);
        let emitted = self.emit_one(app, Source::Kv, event, cause);
        Ok(Some(KvMutation { version, updated_at, emitted }))
    }

    /// A page of entries, in the byte order of their keys.
    pub fn list(&self, app: &AppName, collection: &Collection, page: &KvPage) -> Result<KvEntries, PortError> {
        self.require_app(app)?;
        let of_collection = self.kv.iter().filter(|((a, c, _), _)| a == app && c == collection);
        let wanted = of_collection.filter(|((_, _, key), _)| {
            key.as_str().starts_with(&page.prefix) && page.after.as_ref().is_none_or(|after| key > after)
        });
        let entries = wanted.take(page.limit as usize).map(|((_, _, key), value)| Ok(entry(key, value)));
        KvEntries::within(page.bytes_max, entries)
    }

    /// Emits events. A repeated emission with the same idempotency key returns the same events and
    /// emits nothing.
    pub fn emit(&mut self, emission: &Emission) -> Result<Vec<EmittedEvent>, PortError> {
        self.require_app(&emission.app)?;
        if let Some(key) = &emission.idempotency_key
            && let Some((digest, ids)) = self.idempotency.get(&(emission.app.clone(), key.key.clone()))
        {
            if *digest != key.digest {
                return Err(PortError::IdempotencyKeyReused);
            }
            return Ok(ids.iter().map(|id| EmittedEvent::new(*id, Vec::new())).collect());
        }
        let emit = |event: &NewEvent| self.emit_one(&emission.app, Source::App, event.clone(), &emission.cause);
        let emitted: Vec<EmittedEvent> = emission.events.iter().map(emit).collect();
        if let Some(key) = &emission.idempotency_key {
            let ids = emitted.iter().map(|event| event.event_id).collect();
            self.idempotency.insert((emission.app.clone(), key.key.clone()), (key.digest.clone(), ids));
        }
        Ok(emitted)
    }

    pub(crate) fn require_app(&self, app: &AppName) -> Result<(), PortError> {
        if self.apps.contains_key(app) { Ok(()) } else { Err(PortError::UnknownApp) }
    }

    fn check_guard(&self, app: &AppName, collection: &Collection, key: &Key, guard: Guard) -> Result<(), PortError> {
        let address = (app.clone(), collection.clone(), key.clone());
        let current: Option<Version> = self.kv.get(&address).map(|value| value.version);
        let holds = match guard {
            Guard::Any => true,
            Guard::Absent => current.is_none(),
            Guard::Version(version) => current == Some(version),
        };
        if holds { Ok(()) } else { Err(PortError::PreconditionFailed { current }) }
    }
}

fn entry(key: &Key, value: &Value) -> KvEntry {
    KvEntry { key: key.clone(), value: value.value.clone(), version: value.version, updated_at: value.updated_at }
}
