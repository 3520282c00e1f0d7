//! What one execution has read, written and emitted so far.

use std::collections::BTreeMap;
use tidegate_core::{Collection, Effects, Json, Key, KvWrite, NewEvent, ReadVersion};
use tidegate_ports::KvEntry;

type At = (Collection, Key);

#[derive(Debug, Default)]
pub(crate) struct Staged {
    /// What the store said at the first read of each key: a second read sees the same.
    reads: BTreeMap<At, Option<KvEntry>>,
    writes: BTreeMap<At, Option<Json>>,
    /// In the order of their first write.
    order: Vec<At>,
    events: Vec<NewEvent>,
}

impl Staged {
    /// What the script itself has written there: `Some(None)` if it deleted.
    pub(crate) fn written(&self, at: &At) -> Option<Option<&Json>> {
        self.writes.get(at).map(Option::as_ref)
    }

    /// What was read there before.
    pub(crate) fn seen(&self, at: &At) -> Option<Option<&KvEntry>> {
        self.reads.get(at).map(Option::as_ref)
    }

    /// Remembers the first read of a key; a later one changes nothing.
    pub(crate) fn see(&mut self, at: At, entry: Option<KvEntry>) {
        self.reads.entry(at).or_insert(entry);
    }

    pub(crate) fn write(&mut self, at: At, value: Option<Json>) {
        if self.writes.insert(at.clone(), value).is_none() {
            self.order.push(at);
        }
    }

    pub(crate) fn emit(&mut self, event: NewEvent) {
        self.events.push(event);
    }

    /// Writes and events together.
    pub(crate) fn len(&self) -> usize {
        self.order.len() + self.events.len()
    }

    /// Own writes in a collection that a listing of `prefix` would show.
    pub(crate) fn written_in(&self, collection: &Collection, prefix: &str) -> Vec<(Key, Option<Json>)> {
        let wanted = |(at, _): &(&At, &Option<Json>)| at.0 == *collection && at.1.as_str().starts_with(prefix);
        self.writes.iter().filter(wanted).map(|((_, key), value)| (key.clone(), value.clone())).collect()
    }

    pub(crate) fn into_effects(mut self) -> Effects {
        let read = |((collection, key), entry): (At, Option<KvEntry>)| ReadVersion {
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
