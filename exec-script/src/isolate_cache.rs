//! The isolates that one thread keeps between executions: warm isolates, and one blank isolate.
//!
//! The variables of a module stay in its isolate. So a warm isolate is reused only for the same
//! script and version, of the same app, for the same trigger and the same principal. Any other
//! execution could read data that it must not see.
//!
//! The blank isolate has no script. Fresh executions use it. Its memory is restored to a snapshot
//! after each of them, see [`crate::memory`], so any script and any principal may use it.

use crate::idle_registry::{EntryId, IdleRegistry};
use crate::isolate::Isolate;
use crate::sources::Source;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_core::{AppName, Delivery, PrincipalId, TriggerId};

/// The time after which an idle isolate is dropped.
pub(crate) const IDLE_MAX: Duration = Duration::from_secs(10);

/// The executions that may share a warm isolate have equal keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CacheKey {
    app: AppName,
    script: String,
    version: i64,
    trigger: TriggerId,
    principal: PrincipalId,
}

impl CacheKey {
    pub(crate) fn new(delivery: &Delivery, source: &Source) -> Self {
        Self {
            app: delivery.event.app.clone(),
            script: source.name.clone(),
            version: source.version,
            trigger: delivery.trigger_id,
            principal: delivery.runs_as.clone(),
        }
    }

    /// One of 64 bits, by which a thread that probably has a warm isolate is found quickly. Two
    /// keys may have the same bit. Then an execution may reach a thread without a warm isolate and
    /// start in a fresh one.
    pub(crate) fn bit(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        1 << (hasher.finish() % 64)
    }
}

pub(crate) struct IsolateCache {
    registry: Arc<IdleRegistry>,
    warm: Vec<WarmIsolate>,
    blank: Option<BlankIsolate>,
}

/// An isolate that must not go back to the cache as it is.
pub(crate) enum UsedIsolate {
    /// The isolate is restored to its snapshot, and becomes the blank isolate.
    Restore(Isolate),
    /// The isolate is dropped.
    Drop(Isolate),
}

struct BlankIsolate {
    idle_since: Instant,
    isolate: Isolate,
}

struct WarmIsolate {
    key: CacheKey,
    bit: u64,
    id: EntryId,
    idle_since: Instant,
    isolate: Isolate,
}

impl IsolateCache {
    pub(crate) fn new(registry: Arc<IdleRegistry>) -> Self {
        Self { registry, warm: Vec::new(), blank: None }
    }

    /// Takes the most recently used isolate of `key` that may be used again.
    pub(crate) fn take_warm(&mut self, key: &CacheKey) -> Option<Isolate> {
        let at = self.warm.iter().rposition(|warm| warm.key == *key)?;
        let WarmIsolate { id, isolate, .. } = self.warm.swap_remove(at);
        (self.registry.remove(id) && !isolate.is_old()).then_some(isolate)
    }

    /// Keeps an isolate that may run another execution, unless this isolate alone exceeds the
    /// limits.
    pub(crate) fn put_warm(&mut self, key: CacheKey, isolate: Isolate) {
        if let Some(id) = self.registry.add(isolate.heap_bytes()) {
            let bit = key.bit();
            self.warm.push(WarmIsolate { key, bit, id, idle_since: Instant::now(), isolate });
        }
        // A thread that always has work never parks, so it must look here for isolates that were
        // evicted.
        if self.warm.len() > 1 || self.blank.is_some() {
            self.sweep();
        }
    }

    /// Takes the blank isolate, if there is one that may be used again.
    pub(crate) fn take_blank(&mut self) -> Option<Isolate> {
        self.blank.take().map(|blank| blank.isolate).filter(|isolate| !isolate.is_old())
    }

    /// Restores or drops an isolate after an execution.
    pub(crate) fn dispose(&mut self, used: UsedIsolate) {
        match used {
            UsedIsolate::Restore(isolate) => {
                self.blank = isolate.restore().map(|isolate| BlankIsolate { idle_since: Instant::now(), isolate });
            }
            UsedIsolate::Drop(isolate) => drop(isolate),
        }
        // As in `put_warm`: a thread that always has work never parks.
        if !self.warm.is_empty() {
            self.sweep();
        }
    }

    /// Drops the isolates that were evicted, are too old, or have been idle for too long.
    pub(crate) fn sweep(&mut self) {
        let Self { registry, warm, blank } = self;
        blank.take_if(|blank| blank.isolate.is_old() || blank.idle_since.elapsed() >= IDLE_MAX);
        warm.retain(|warm| {
            if warm.isolate.is_old() || warm.idle_since.elapsed() >= IDLE_MAX {
                registry.remove(warm.id);
                return false;
            }
            registry.contains(warm.id)
        });
    }

    /// The bits of all keys of warm isolates.
    pub(crate) fn bits(&self) -> u64 {
        self.warm.iter().fold(0, |bits, warm| bits | warm.bit)
    }
}

impl Drop for IsolateCache {
    fn drop(&mut self) {
        for warm in &self.warm {
            self.registry.remove(warm.id);
        }
    }
}
