//! What a handler staged: applied with the settlement of its own delivery, all of it once, or none of it.

use crate::event::NewEvent;
use crate::json::Json;
use crate::names::{Collection, Key};
use serde::{Deserialize, Serialize};

/// The version of a KV value. It grows with every write of its key, also across a delete. Absent keys have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub i64);

/// What a handler read, wrote and emitted.
///
/// Every key read must still have the version that was read when the effects are applied, or none of them are and the
/// handler runs again. A key that was written without being read is not checked: the last write wins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effects {
    /// Each key that was read from the store, once, with the version that was seen.
    pub reads: Vec<ReadVersion>,
    /// The last write of each key that was written, once.
    pub writes: Vec<KvWrite>,
    /// The events that were emitted, in order.
    pub events: Vec<NewEvent>,
}

impl Effects {
    /// Whether applying them would neither check nor change anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.events.is_empty()
    }
}

/// A key and the version of it that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadVersion {
    /// The collection.
    pub collection: Collection,
    /// The key.
    pub key: Key,
    /// `None` if the key was absent.
    pub version: Option<Version>,
}

/// One write of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvWrite {
    /// The collection.
    pub collection: Collection,
    /// The key.
    pub key: Key,
    /// `None` deletes.
    pub value: Option<Json>,
}
