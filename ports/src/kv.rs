use crate::{EmittedEvent, PortError};
use async_trait::async_trait;
use serde::Serialize;
use tidegate_core::{AppName, Cause, Collection, Json, Key, Timestamp, Version};

/// Values by collection and key.
///
/// Each mutation emits an event in its own transaction: `kv.set` or `kv.delete`, with the subject
/// `collection/key` and the data `{"collection", "key", "value", "version"}`. The data of a delete
/// has `"value": null`.
#[async_trait]
pub trait KvStore: Send + Sync + 'static {
    async fn get(&self, app: &AppName, collection: &Collection, key: &Key) -> Result<Option<KvEntry>, PortError>;

    /// Sets the value if `guard` holds. Otherwise fails with [`PortError::PreconditionFailed`].
    async fn put(
        &self,
        app: &AppName,
        collection: &Collection,
        key: &Key,
        value: Json,
        guard: Guard,
        cause: &Cause,
    ) -> Result<KvMutation, PortError>;

    /// Deletes the value if `guard` holds. Returns `None` and emits nothing if the key is absent.
    async fn delete(
        &self,
        app: &AppName,
        collection: &Collection,
        key: &Key,
        guard: Guard,
        cause: &Cause,
    ) -> Result<Option<KvMutation>, PortError>;

    /// One page of entries, ordered by the bytes of their keys.
    async fn list(&self, app: &AppName, collection: &Collection, page: &KvPage) -> Result<KvEntries, PortError>;
}

/// Selects the entries of one page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvPage {
    /// Selects keys that begin with this text. The empty text selects all.
    pub prefix: String,
    /// Selects greater keys: the last key of the previous page.
    pub after: Option<Key>,
    /// The most entries of one page.
    pub limit: u32,
    /// The most bytes of the keys and values of one page. A page has at least one entry, also if
    /// this entry alone is longer.
    pub bytes_max: usize,
}

/// One page of entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KvEntries {
    pub entries: Vec<KvEntry>,
    /// Whether the page ends because the next entry would exceed [`KvPage::bytes_max`].
    pub is_cut: bool,
}

impl KvEntries {
    /// Takes entries until the next one would exceed `bytes_max`.
    pub fn within<E>(bytes_max: usize, entries: impl Iterator<Item = Result<KvEntry, E>>) -> Result<Self, E> {
        let (mut page, mut bytes) = (Self::default(), 0);
        for entry in entries {
            let entry = entry?;
            bytes += entry.bytes();
            page.is_cut = bytes > bytes_max && !page.entries.is_empty();
            if page.is_cut {
                break;
            }
            page.entries.push(entry);
        }
        Ok(page)
    }
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KvEntry {
    pub key: Key,
    /// The value, with exactly the bytes that were put.
    pub value: Json,
    /// Grows with every write of the key. If a key is set again after a delete, its version is
    /// greater than the last one.
    pub version: Version,
    /// The time of the last write, by the store's clock.
    pub updated_at: Timestamp,
}

impl KvEntry {
    /// The bytes of the key and the value.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.key.as_str().len() + self.value.as_str().len()
    }
}

/// The precondition of a mutation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The mutation is unconditional.
    Any,
    /// The key must be absent.
    Absent,
    /// The value must have this version.
    Version(Version),
}

/// The result of a mutation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvMutation {
    /// The version of the new value or of the delete.
    pub version: Version,
    /// The time of the mutation, by the store's clock.
    pub updated_at: Timestamp,
    /// The event that the mutation emitted.
    pub emitted: EmittedEvent,
}
