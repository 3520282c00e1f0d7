//! The effects that a handler staged. The settlement of its own delivery applies all of them, once,
//! or none of them.

use crate::event::NewEvent;
use crate::json::Json;
use crate::names::{Collection, Key};
use serde::{Deserialize, Serialize};

/// The version of a KV value. Every write of the key makes it larger, even after a delete. An
/// absent key has no version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub i64);

/// The reads, writes and events of one execution.
///
/// When the effects are applied, every key must still have the version that the handler read.
/// Otherwise none of them is applied, and the handler runs again. A key that was written and not
/// read is not checked: the last write wins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effects {
    /// The version of each key that was read from the store. Each key is listed once.
    pub reads: Vec<ReadVersion>,
    /// The last write of each key that was written. Each key is listed once.
    pub writes: Vec<KvWrite>,
    /// The emitted events, in their order.
    pub events: Vec<NewEvent>,
}

impl Effects {
    /// Whether the store has nothing to apply. Reads alone are not checked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.events.is_empty()
    }

    /// The bytes of all keys, values and events.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let at = |collection: &Collection, key: &Key| collection.as_str().len() + key.as_str().len();
        let reads = self.reads.iter().map(|read| at(&read.collection, &read.key));
        let value = |write: &KvWrite| write.value.as_ref().map_or(0, |value| value.as_str().len());
        let writes = self.writes.iter().map(|write| at(&write.collection, &write.key) + value(write));
        reads.chain(writes).map(|bytes| bytes as u64).chain(self.events.iter().map(NewEvent::bytes)).sum()
    }
}

/// A key with the version that the handler read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadVersion {
    pub collection: Collection,
    pub key: Key,
    /// `None` if the key did not exist.
    pub version: Option<Version>,
}

/// A write to one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvWrite {
    pub collection: Collection,
    pub key: Key,
    /// `None` deletes the key.
    pub value: Option<Json>,
}
