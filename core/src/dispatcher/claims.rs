//! The claims that are held: each row that is leased to this dispatcher, and how far it has come.

use crate::claim::Claim;
use crate::delivery::Delivery;
use crate::gate::Caller;
use crate::names::DeliveryId;
use crate::sync::{SyncOutcome, SyncReply};
use crate::time::{Micros, Mono};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    held: BTreeMap<DeliveryId, Held>,
    /// Claims whose settlement is not answered yet, while the store has given their row to us again.
    superseded: BTreeMap<Claim, Held>,
    /// When to look next for rows that wait too long. `None` while none waits.
    queue_check: Option<Mono>,
}

#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) delivery: Arc<Delivery>,
    pub(super) stage: Stage,
    /// Until when the store certainly honours the claim: counted from before it was asked for.
    pub(super) leased_until: Mono,
    /// How often its effects have conflicted.
    pub(super) conflicts: u32,
    /// How long its last execution took.
    pub(super) took: Option<Micros>,
    /// Which kind of permit it needs: what a lane gave, an orphan of a sync call too, or a call that we began ourselves.
    pub(super) caller: Caller,
    /// What a sync caller gets once the settlement is applied, and what is kept of it.
    pub(super) reply: Option<SyncReply>,
    pub(super) outcome: Option<SyncOutcome>,
    /// Its reply is kept with the row: the call has an idempotency key.
    pub(super) is_keyed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Waits for a permit.
    Queued { since: Mono },
    /// Executes, under this number.
    Running { seq: u64 },
    /// Its settlement is not answered yet.
    Settling,
    /// Its reply is being handed over.
    Replying,
}

impl Held {
    pub(super) fn claim(&self) -> Claim {
        self.delivery.claim()
    }
}

impl Claims {
    /// Holds a claim. A claim of the same row that is still held is returned: it has expired, or the store would not
    /// have given the row away again. One that is settling may have been settled, and its answer be late: it is kept for
    /// that answer.
    pub(super) fn hold(&mut self, delivery: Arc<Delivery>, stage: Stage, leased_until: Mono) -> Option<Held> {
        let before = self.insert(delivery, stage, leased_until, Caller::Async)?;
        if (before.stage, before.caller) == (Stage::Settling, Caller::Async) {
            self.superseded.insert(before.claim(), before);
            return None;
        }
        Some(before)
    }

    /// The claim whose row was claimed again before its settlement was answered.
    pub(super) fn take_superseded(&mut self, claim: Claim) -> Option<Held> {
        self.superseded.remove(&claim)
    }

    /// Holds the row of a sync call that was begun just now.
    pub(super) fn hold_call(&mut self, delivery: Arc<Delivery>, stage: Stage, leased_until: Mono) -> Option<Held> {
        self.insert(delivery, stage, leased_until, Caller::Sync)
    }

    fn insert(&mut self, delivery: Arc<Delivery>, stage: Stage, leased_until: Mono, caller: Caller) -> Option<Held> {
        let id = delivery.id;
        let (conflicts, took, reply, outcome, is_keyed) = (0, None, None, None, false);
        self.held.insert(id, Held { delivery, stage, leased_until, conflicts, took, caller, reply, outcome, is_keyed })
    }

    /// The claim, if it is the one that is held of its row.
    pub(super) fn get_mut(&mut self, claim: Claim) -> Option<&mut Held> {
        self.held.get_mut(&claim.delivery).filter(|held| held.delivery.lease == claim.lease)
    }

    pub(super) fn remove(&mut self, claim: Claim) -> Option<Held> {
        self.get_mut(claim)?;
        self.held.remove(&claim.delivery)
    }

    /// Whether a later claim of the same row is held: answers of two calls may come in either order.
    pub(super) fn is_outdated(&self, delivery: &Delivery) -> bool {
        self.of(delivery.id).is_some_and(|held| held.delivery.lease > delivery.lease)
    }

    /// The claim that is held of this row.
    pub(super) fn of(&self, delivery: DeliveryId) -> Option<&Held> {
        self.held.get(&delivery)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.held.values()
    }

    pub(super) fn len(&self) -> u32 {
        self.held.len() as u32
    }

    pub(super) fn next_queue_check(&self) -> Option<Mono> {
        self.queue_check
    }

    /// Looks at the queue again at `at`, unless it is to be looked at earlier.
    pub(super) fn check_queue_at(&mut self, at: Mono) {
        self.queue_check = Some(self.queue_check.map_or(at, |earlier| earlier.min(at)));
    }

    /// The rows that have waited for a permit since before `limit` of `now`, if it is time to look. The next look is
    /// when the longest waiting of the others may have waited as long.
    pub(super) fn waited_too_long(&mut self, now: Mono, limit: Micros) -> Vec<Claim> {
        if self.queue_check.is_none_or(|at| now < at) {
            return Vec::new();
        }
        let mut late = Vec::new();
        let mut oldest: Option<Mono> = None;
        for held in self.held.values() {
            let (Stage::Queued { since }, Caller::Async) = (held.stage, held.caller) else { continue };
            if now.since(since) >= limit {
                late.push(held.claim());
            } else {
                oldest = Some(oldest.map_or(since, |other| other.min(since)));
            }
        }
        self.queue_check = oldest.map(|since| since.plus(limit));
        late
    }
}
