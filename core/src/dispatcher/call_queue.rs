//! Sync calls that wait for a permit: new calls, and executed calls with conflicting effects.
//!
//! The next new call is the first one of the app that holds the fewest permits. So an app with many
//! slow calls does not delay the calls of another app.

use super::call_shares::CallShares;
use crate::claim::Claim;
use crate::names::{AppName, InboxId};
use crate::room::reserve;
use crate::sync::SyncCall;
use crate::time::{Micros, Mono};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// New calls that wait for a permit. Nothing has been written for them.
#[derive(Clone, Debug, Default)]
pub(super) struct CallQueue {
    calls: BTreeMap<Place, WaitingCall>,
    places: BTreeMap<InboxId, Place>,
    /// The places of each app with waiting calls.
    apps: BTreeMap<AppName, BTreeSet<Place>>,
    arrivals: u64,
}

/// A place in the queue: the deadline of the call, then the number of its arrival. All calls have
/// the same longest wait, so the order of deadlines is the order of arrival.
type Place = (Mono, u64);

#[derive(Clone, Debug)]
pub(super) struct WaitingCall {
    pub(super) call: Arc<SyncCall>,
    pub(super) since: Mono,
    /// Whether the store refused this call with others, so that it begins alone.
    pub(super) begins_alone: bool,
    place: Place,
}

impl CallQueue {
    /// Assigns a place to an arriving call. The call waits there after [`Self::push`].
    pub(super) fn arrive(&mut self, call: Arc<SyncCall>, now: Mono, wait_max: Micros) -> WaitingCall {
        self.arrivals = self.arrivals.saturating_add(1);
        WaitingCall { call, since: now, begins_alone: false, place: (now.plus(wait_max), self.arrivals) }
    }

    /// Queues a call at its place. If the store failed to begin a call, the call returns to its old
    /// place.
    pub(super) fn push(&mut self, waiting: WaitingCall) {
        self.places.insert(waiting.call.inbox, waiting.place);
        self.apps.entry(waiting.call.target.app().clone()).or_default().insert(waiting.place);
        self.calls.insert(waiting.place, waiting);
    }

    /// The first call of any app.
    pub(super) fn pop(&mut self) -> Option<WaitingCall> {
        let first = *self.calls.first_key_value()?.0;
        self.take(first)
    }

    /// The first call of the app that holds the fewest permits, and of several such apps the first
    /// call of all. `is_beyond_reserve` tells whether an app that holds a permit may get another
    /// one.
    pub(super) fn pop_next(&mut self, shares: &CallShares, is_beyond_reserve: bool) -> Option<WaitingCall> {
        let firsts = self.apps.iter().filter_map(|(app, places)| Some((shares.permits_of(app), *places.first()?)));
        let (_, place) = firsts.filter(|(permits, _)| *permits == 0 || is_beyond_reserve).min()?;
        self.take(place)
    }

    /// The first call, if its deadline has passed.
    pub(super) fn pop_late(&mut self, now: Mono) -> Option<WaitingCall> {
        self.next_deadline().filter(|deadline| now >= *deadline)?;
        self.pop()
    }

    pub(super) fn remove(&mut self, inbox: InboxId) -> Option<WaitingCall> {
        let place = *self.places.get(&inbox)?;
        self.take(place)
    }

    fn take(&mut self, place: Place) -> Option<WaitingCall> {
        let waiting = self.calls.remove(&place)?;
        self.places.remove(&waiting.call.inbox);
        if let Some(places) = self.apps.get_mut(waiting.call.target.app()) {
            places.remove(&place);
            if places.is_empty() {
                self.apps.remove(waiting.call.target.app());
            }
        }
        Some(waiting)
    }

    /// Whether another call of `app` finds a place. The last places, an eighth of all, are for apps
    /// without waiting calls.
    pub(super) fn has_place(&self, app: &AppName, places_max: u32) -> bool {
        let places = if self.has_calls_of(app) { places_max - reserve(places_max) } else { places_max };
        self.len() < places as usize
    }

    pub(super) fn has_calls_of(&self, app: &AppName) -> bool {
        self.apps.contains_key(app)
    }

    pub(super) fn contains(&self, inbox: InboxId) -> bool {
        self.places.contains_key(&inbox)
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
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
    last_rerun: Option<Claim>,
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
        self.last_rerun = self.queue.pop_front();
    }

    /// The call that was the last to run again.
    pub(super) fn last_rerun(&self) -> Option<Claim> {
        self.last_rerun
    }
}
