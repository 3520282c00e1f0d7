//! The registry of all idle isolates of this process. It enforces the limits on their number and on
//! their bytes.
//!
//! An isolate belongs to its thread, and no other thread may touch it. So the registry holds only
//! an entry for each isolate. When a new entry exceeds a limit, the registry removes the entries of
//! the least recently used isolates and wakes their threads, which then drop these isolates.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Thread;

pub(crate) struct IdleRegistry {
    entries: Mutex<Entries>,
    isolates_max: usize,
    bytes_max: usize,
}

/// The key of an entry.
pub(crate) type EntryId = u64;

#[derive(Default)]
struct Entries {
    /// Ids only grow, so the first entry is the one that has been idle for longest.
    by_id: BTreeMap<EntryId, Entry>,
    bytes: usize,
    last_id: EntryId,
}

struct Entry {
    bytes: usize,
    owner: Thread,
}

impl Entries {
    fn remove(&mut self, id: EntryId) -> Option<Entry> {
        let entry = self.by_id.remove(&id)?;
        self.bytes -= entry.bytes;
        Some(entry)
    }
}

impl IdleRegistry {
    pub(crate) fn new(isolates_max: usize, bytes_max: usize) -> Self {
        Self { entries: Mutex::default(), isolates_max, bytes_max }
    }

    /// Adds an isolate of the calling thread. Returns `None` if this isolate alone exceeds the
    /// limits.
    pub(crate) fn add(&self, bytes: usize) -> Option<EntryId> {
        if self.isolates_max == 0 || bytes > self.bytes_max {
            return None;
        }
        let mut entries = self.lock();
        while entries.by_id.len() >= self.isolates_max || entries.bytes + bytes > self.bytes_max {
            let (&oldest, _) = entries.by_id.first_key_value()?;
            if let Some(evicted) = entries.remove(oldest) {
                evicted.owner.unpark();
            }
        }
        entries.last_id += 1;
        let id = entries.last_id;
        entries.bytes += bytes;
        entries.by_id.insert(id, Entry { bytes, owner: std::thread::current() });
        Some(id)
    }

    /// Removes an isolate. Returns `false` if it was evicted before.
    pub(crate) fn remove(&self, id: EntryId) -> bool {
        self.lock().remove(id).is_some()
    }

    pub(crate) fn contains(&self, id: EntryId) -> bool {
        self.lock().by_id.contains_key(&id)
    }

    /// The number of idle isolates, and the bytes that they hold together.
    pub(crate) fn totals(&self) -> (usize, usize) {
        let entries = self.lock();
        (entries.by_id.len(), entries.bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        // Each change is complete before any code that can panic.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
