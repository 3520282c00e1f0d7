use crate::{EmittedEvent, PortError};
use async_trait::async_trait;
use serde::Serialize;
use tidegate_core::{AppName, Cause, Collection, Json, Key, Timestamp, Version};

/// Values by collection and key. Each mutation emits `kv.set` or `kv.delete` in its own transaction: with data
/// `{"collection", "key", "value", "version"}` (a delete has `"value": null`) and subject `collection/key`.
#[async_trait]
pub trait KvStore: Send + Sync + 'static {
    /// The value, if there is one.
    async fn get(&self, app: &AppName, collection: &Collection, key: &Key) -> Result<Option<KvEntry>, PortError>;

    /// Sets the value if `guard` holds.
    async fn put(
        &self,
        app: &AppName,
        collection: &Collection,
        key: &Key,
        value: Json,
        guard: Guard,
        cause: &Cause,
    ) -> Result<KvMutation, PortError>;

    /// Deletes the value if `guard` holds. `None` if there was none: then nothing is emitted.
    async fn delete(
        &self,
        app: &AppName,
        collection: &Collection,
        key: &Key,
        guard: Guard,
        cause: &Cause,
    ) -> Result<Option<KvMutation>, PortError>;

    /// Entries in the byte order of their keys.
    async fn list(&self, app: &AppName, collection: &Collection, page: &KvPage) -> Result<Vec<KvEntry>, PortError>;
}

/// Which entries to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvPage {
    /// Only keys that begin with this; may be empty.
    pub prefix: String,
    /// Only keys after this one.
    pub after: Option<Key>,
    /// At most so many.
    pub limit: u32,
}

/// One key's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KvEntry {
    /// The key.
    pub key: Key,
    /// The value, byte for byte as it was put.
    pub value: Json,
    /// Grows with every write of the key, also across a delete.
    pub version: Version,
    /// When it was written, by the store's clock.
    pub updated_at: Timestamp,
}

/// What must be true of a key for a mutation to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Nothing.
    Any,
    /// The key is absent.
    Absent,
    /// The value has this version.
    Version(Version),
}

/// A mutation that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvMutation {
    /// The version of the written value, or of the delete.
    pub version: Version,
    /// When, by the store's clock.
    pub updated_at: Timestamp,
    /// The event of the mutation.
    pub emitted: EmittedEvent,
}
