//! The isolates that one thread keeps: warm ones, and one without a script.
//!
//! What a module keeps in its variables lives on in its isolate. So an isolate is only ever used again for the same
//! script, in the same version, of the same app, by the same trigger, as the same principal: whoever else it showed them
//! to might learn what it must not.
//!
//! The one without a script is for executions that start anew. It is made again what it was before each, see
//! [`crate::memory`], so it is everybody's.

use crate::isolate::Isolate;
use crate::ledger::Ledger;
use crate::sources::Source;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_core::{AppName, Delivery, PrincipalId, TriggerId};

/// An isolate that was not used for this long is dropped.
pub(crate) const IDLE_MAX: Duration = Duration::from_secs(10);

/// For what an isolate may be used again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    app: AppName,
    script: String,
    version: i64,
    trigger: TriggerId,
    principal: PrincipalId,
}

impl Key {
    pub(crate) fn new(delivery: &Delivery, source: &Source) -> Self {
        Self {
            app: delivery.event.app.clone(),
            script: source.name.clone(),
            version: source.version,
            trigger: delivery.trigger_id,
            principal: delivery.runs_as.clone(),
        }
    }

    /// One of 64 bits: threads are told apart by it at a glance, and mistakenly only at the cost of a fresh isolate.
    pub(crate) fn bit(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        1 << (hasher.finish() % 64)
    }
}

pub(crate) struct Shelf {
    ledger: Arc<Ledger>,
    kept: Vec<Kept>,
    blank: Option<Blank>,
}

/// An isolate that may not be used again as it is.
pub(crate) enum UsedUp {
    /// Only as what it was before its script was loaded.
    Renew(Isolate),
    /// Not at all.
    Drop(Isolate),
}

struct Blank {
    since: Instant,
    isolate: Isolate,
}

struct Kept {
    key: Key,
    bit: u64,
    number: u64,
    since: Instant,
    isolate: Isolate,
}

impl Shelf {
    pub(crate) fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger, kept: Vec::new(), blank: None }
    }

    /// The isolate that was used last for `key`, if there is one that may be used again.
    pub(crate) fn take(&mut self, key: &Key) -> Option<Isolate> {
        let at = self.kept.iter().rposition(|kept| kept.key == *key)?;
        let Kept { number, isolate, .. } = self.kept.swap_remove(at);
        (self.ledger.leave(number) && !isolate.is_old()).then_some(isolate)
    }

    /// Keeps an isolate that is fit for another execution, unless it is too big for all bounds.
    pub(crate) fn put(&mut self, key: Key, isolate: Isolate) {
        if let Some(number) = self.ledger.enter(isolate.heap_bytes()) {
            let bit = key.bit();
            self.kept.push(Kept { key, bit, number, since: Instant::now(), isolate });
        }
        // A thread that always has work never parks, and would not see that one of its isolates was struck out.
        if self.kept.len() > 1 || self.blank.is_some() {
            self.sweep();
        }
    }

    /// The isolate without a script, if there is one that may be used again.
    pub(crate) fn take_blank(&mut self) -> Option<Isolate> {
        self.blank.take().map(|blank| blank.isolate).filter(|isolate| !isolate.is_old())
    }

    /// Keeps what can be made of it, and frees the rest.
    pub(crate) fn clear_away(&mut self, used_up: UsedUp) {
        match used_up {
            UsedUp::Renew(isolate) => {
                self.blank = isolate.renew().map(|isolate| Blank { since: Instant::now(), isolate });
            }
            UsedUp::Drop(isolate) => drop(isolate),
        }
        // As in `put`: a thread that is never without work sees here what was struck out.
        if !self.kept.is_empty() {
            self.sweep();
        }
    }

    /// Drops what was struck out of the ledger, is old, or was not used for a while.
    pub(crate) fn sweep(&mut self) {
        let Self { ledger, kept, blank } = self;
        blank.take_if(|blank| blank.isolate.is_old() || blank.since.elapsed() >= IDLE_MAX);
        kept.retain(|kept| {
            if kept.isolate.is_old() || kept.since.elapsed() >= IDLE_MAX {
                ledger.leave(kept.number);
                return false;
            }
            ledger.still_in(kept.number)
        });
    }

    /// The bits of all keys.
    pub(crate) fn bits(&self) -> u64 {
        self.kept.iter().fold(0, |bits, kept| bits | kept.bit)
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        for kept in &self.kept {
            self.ledger.leave(kept.number);
        }
    }
}
