//! Sync calls that wait for a permit: new calls in the order of their arrival, and executed calls
//! with conflicting effects.

use crate::claim::Claim;
use crate::names::InboxId;
use crate::sync::SyncCall;
use crate::time::{Micros, Mono};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// New calls that wait for a permit. Nothing has been written for them.
#[derive(Clone, Debug, Default)]
pub(super) struct CallQueue {
    calls: BTreeMap<Place, WaitingCall>,
    places: BTreeMap<InboxId, Place>,
    arrivals: u64,
}

/// A place in the queue: the deadline of the call, then the number of its arrival. All calls have
/// the same longest wait, so the order of deadlines is the order of arrival.
type Place = (Mono, u64);

#[derive(Clone, Debug)]
pub(super) struct WaitingCall {
    pub(super) call: Arc<SyncCall>,
    pub(super) since: Mono,
    place: Place,
}

impl CallQueue {
    /// Assigns a place to an arriving call. The call waits there after [`Self::push`].
    pub(super) fn arrive(&mut self, call: Arc<SyncCall>, now: Mono, wait_max: Micros) -> WaitingCall {
        self.arrivals = self.arrivals.saturating_add(1);
        WaitingCall { call, since: now, place: (now.plus(wait_max), self.arrivals) }
    }

    /// Queues a call at its place. If the store failed to begin a call, the call returns to its old
    /// place.
    pub(super) fn push(&mut self, waiting: WaitingCall) {
        self.places.insert(waiting.call.inbox, waiting.place);
        self.calls.insert(waiting.place, waiting);
    }

    pub(super) fn pop(&mut self) -> Option<WaitingCall> {
        let (_, waiting) = self.calls.pop_first()?;
        self.places.remove(&waiting.call.inbox);
        Some(waiting)
    }

    /// The first call, if its deadline has passed.
    pub(super) fn pop_late(&mut self, now: Mono) -> Option<WaitingCall> {
        self.next_deadline().filter(|deadline| now >= *deadline)?;
        self.pop()
    }

    pub(super) fn remove(&mut self, inbox: InboxId) -> Option<WaitingCall> {
        let place = self.places.remove(&inbox)?;
        self.calls.remove(&place)
    }

    pub(super) fn contains(&self, inbox: InboxId) -> bool {
        self.places.contains_key(&inbox)
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    pub(super) fn next_deadline(&self) -> Option<Mono> {
        self.calls.first_key_value().map(|((deadline, _), _)| *deadline)
    }
}

/// Sync executions with conflicting effects. They run before new calls, because their callers have
/// waited longer. They run one at a time, because all except one of several parallel reruns would
/// conflict again.
#[derive(Clone, Debug, Default)]
pub(super) struct ConflictedCalls {
    queue: VecDeque<Claim>,
    rerunning: Option<Claim>,
}

impl ConflictedCalls {
    pub(super) fn push(&mut self, claim: Claim) {
        self.queue.push_back(claim);
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn first(&self) -> Option<Claim> {
        self.queue.front().copied()
    }

    pub(super) fn drop_first(&mut self) {
        self.queue.pop_front();
    }

    /// Takes the first call from the queue to run it again.
    pub(super) fn rerun_first(&mut self) {
        self.rerunning = self.queue.pop_front();
    }

    /// The call that runs again now.
    pub(super) fn rerunning(&self) -> Option<Claim> {
        self.rerunning
    }

    pub(super) fn end_rerun(&mut self) {
        self.rerunning = None;
    }
}
