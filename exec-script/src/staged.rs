//! The reads, writes and events of one execution. Its settlement applies the writes and events, or
//! none of them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use tidegate_core::{Collection, Effects, Json, Key, KvWrite, NewEvent, ReadVersion};
use tidegate_ports::{KvEntry, KvPage, Page};

type Address = (Collection, Key);

#[derive(Debug, Default)]
pub(crate) struct Staged {
    /// The store's answer at the first read of each key. Later reads of the key get the same
    /// answer.
    reads: BTreeMap<Address, Option<KvEntry>>,
    /// The last write of each key. `None` is a delete.
    writes: BTreeMap<Address, Option<Json>>,
    /// The written keys, in the order of their first write.
    order: Vec<Address>,
    events: Vec<NewEvent>,
    /// Bytes of the values that were read.
    read_bytes: usize,
    /// Bytes of the writes and events.
    effect_bytes: usize,
}

/// The memory that an entry takes besides its texts.
const ENTRY_BYTES: usize = 256;

fn length_of(at: &Address, value: Option<&Json>) -> usize {
    ENTRY_BYTES + at.0.as_str().len() + at.1.as_str().len() + value.map_or(0, |json| json.as_str().len())
}

impl Staged {
    /// The script's own write of a key: `Some(None)` if the script deleted the key.
    pub(crate) fn own_write(&self, at: &Address) -> Option<Option<&Json>> {
        self.writes.get(at).map(Option::as_ref)
    }

    /// The first read of a key: `Some(None)` if the key was absent.
    pub(crate) fn first_read(&self, at: &Address) -> Option<Option<&KvEntry>> {
        self.reads.get(at).map(Option::as_ref)
    }

    /// Records the first read of a key. A later read changes nothing.
    pub(crate) fn record_read(&mut self, at: Address, entry: Option<KvEntry>) {
        let Entry::Vacant(vacant) = self.reads.entry(at) else { return };
        self.read_bytes += length_of(vacant.key(), entry.as_ref().map(|entry| &entry.value));
        vacant.insert(entry);
    }

    /// The bytes of the writes and events, if `at` is written too.
    pub(crate) fn bytes_with_write(&self, at: &Address, value: Option<&Json>) -> usize {
        let replaced = self.writes.get(at).map_or(0, |old| length_of(at, old.as_ref()));
        self.effect_bytes - replaced + length_of(at, value)
    }

    pub(crate) fn write(&mut self, at: Address, value: Option<Json>) {
        self.effect_bytes = self.bytes_with_write(&at, value.as_ref());
        if self.writes.insert(at.clone(), value).is_none() {
            self.order.push(at);
        }
    }

    /// The bytes of the writes and events, if `event` is emitted too.
    pub(crate) fn bytes_with_event(&self, event: &NewEvent) -> usize {
        let texts = [event.event_type.as_str(), event.subject.as_str(), event.data.as_str()];
        self.effect_bytes + ENTRY_BYTES + texts.iter().map(|text| text.len()).sum::<usize>()
    }

    pub(crate) fn emit(&mut self, event: NewEvent) {
        self.effect_bytes = self.bytes_with_event(&event);
        self.events.push(event);
    }

    /// The bytes of all reads.
    pub(crate) fn read_bytes(&self) -> usize {
        self.read_bytes
    }

    /// The bytes of all writes and events.
    pub(crate) fn effect_bytes(&self) -> usize {
        self.effect_bytes
    }

    /// The number of writes and events.
    pub(crate) fn len(&self) -> usize {
        self.order.len() + self.events.len()
    }

    /// The script's own writes of keys that begin with `prefix`.
    pub(crate) fn own_writes(&self, collection: &Collection, prefix: &str) -> Vec<(Key, Option<Json>)> {
        let wanted = |(at, _): &(&Address, &Option<Json>)| at.0 == *collection && at.1.as_str().starts_with(prefix);
        self.writes.iter().filter(wanted).map(|((_, key), value)| (key.clone(), value.clone())).collect()
    }

    /// Merges a page of the store with the script's own writes, in the order of the keys. Records
    /// each stored entry as a read, and returns the value of its first read.
    pub(crate) fn merge_page(
        &mut self,
        collection: &Collection,
        page: &KvPage,
        stored: Page<KvEntry>,
        own: Vec<(Key, Option<Json>)>,
    ) -> Vec<(Key, String)> {
        let is_last_page = !stored.has_more;
        let last = stored.items.last().map(|entry| entry.key.clone());
        let mut entries = BTreeMap::new();
        for entry in stored.items {
            let at = (collection.clone(), entry.key.clone());
            self.record_read(at.clone(), Some(entry));
            if let Some(Some(read)) = self.first_read(&at) {
                entries.insert(at.1, read.value.as_str().to_owned());
            }
        }
        for (key, value) in own {
            // Own writes after the last key of a full page belong to a later page, because the
            // store may have entries before them.
            let is_beyond = !is_last_page && last.as_ref().is_some_and(|last| key > *last);
            if is_beyond || page.after.as_ref().is_some_and(|after| key <= *after) {
                continue;
            }
            match value {
                Some(value) => entries.insert(key, value.as_str().to_owned()),
                None => entries.remove(&key),
            };
        }
        entries.into_iter().collect()
    }

    pub(crate) fn into_effects(mut self) -> Effects {
        let read = |((collection, key), entry): (Address, Option<KvEntry>)| ReadVersion {
            collection,
            key,
            version: entry.map(|entry| entry.version),
        };
        let mut writes = Vec::with_capacity(self.order.len());
        for (collection, key) in self.order {
            let value = self.writes.remove(&(collection.clone(), key.clone())).flatten();
            writes.push(KvWrite { collection, key, value });
        }
        Effects { reads: self.reads.into_iter().map(read).collect(), writes, events: self.events }
    }
}
