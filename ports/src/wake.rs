//! Wakes the dispatcher after rows are written.
//!
//! A wake-up names the lanes that got rows, so that the dispatcher claims from them without a
//! discovery. It also carries the rows of the last inline claim.

use crate::inline_claim::InlineClaims;
use crate::{InlineBatch, InlineClaimGuard};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tidegate_core::{InlineRoom, Micros, TriggerId};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Wakes one dispatcher. Cheap to clone. Wake-ups are merged until the driver takes them.
#[derive(Clone, Debug, Default)]
pub struct WakeHandle {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<WakeState>,
    woken: Notify,
    inline_claim_ended: Notify,
}

#[derive(Debug, Default)]
struct WakeState {
    lanes: BTreeSet<TriggerId>,
    discover: bool,
    inline_claims: InlineClaims,
}

/// All wake-ups since the driver last took one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WakeUp {
    /// The lanes that got rows.
    pub lanes: Vec<TriggerId>,
    /// Whether lanes that are not in `lanes` may have got rows too.
    pub discover: bool,
    /// The rows of the inline claim that ended since the last wake-up.
    pub inline_batch: Option<InlineBatch>,
}

impl WakeHandle {
    /// Announces rows in `lanes`. Call it after their transaction has committed.
    pub fn wake(&self, lanes: impl IntoIterator<Item = TriggerId>) {
        let mut state = self.lock();
        let lanes_before = state.lanes.len();
        state.lanes.extend(lanes);
        let is_changed = state.lanes.len() != lanes_before;
        drop(state);
        if is_changed {
            self.shared.woken.notify_one();
        }
    }

    /// Requests a discovery, for rows in lanes that the caller cannot name. Call it after a
    /// notification without lanes, or after a lost connection is restored.
    pub fn wake_for_discovery(&self) {
        self.lock().discover = true;
        self.shared.woken.notify_one();
    }

    /// Waits for the next wake-up. At most one task may wait; in a daemon it is the driver. A
    /// wake-up without lanes and rows reports that an inline claim has ended without rows.
    pub async fn next_wake_up(&self) -> WakeUp {
        loop {
            let has_ended_empty = self.lock().inline_claims.take_ended_empty();
            let wake_up = self.take_wake_up();
            let has_rows = !wake_up.lanes.is_empty() || wake_up.inline_batch.is_some();
            if has_rows || wake_up.discover || has_ended_empty {
                return wake_up;
            }
            self.shared.woken.notified().await;
        }
    }

    /// Takes the pending wake-ups without waiting. The result is empty if there are none.
    pub fn take_wake_up(&self) -> WakeUp {
        let mut state = self.lock();
        let inline_batch = state.inline_claims.take_batch();
        let discover = std::mem::take(&mut state.discover);
        WakeUp { lanes: std::mem::take(&mut state.lanes).into_iter().collect(), discover, inline_batch }
    }

    /// Starts an inline claim for a transaction that is about to write rows. `None` if there is no
    /// room now: then the transaction writes its rows unclaimed and wakes their lanes.
    #[must_use]
    pub fn try_inline_claim(&self) -> Option<InlineClaimGuard> {
        self.lock().inline_claims.start(self)
    }

    /// Allows no inline claim until the next [`Self::set_inline_room`]. Returns the most rows that
    /// the claim in flight may still hand over. Only the driver calls it, each time before it polls
    /// the dispatcher: then the dispatcher knows of every row that is claimed for it.
    #[must_use]
    pub fn pause_inline_claims(&self) -> u32 {
        self.lock().inline_claims.pause()
    }

    /// Sets the room for the next inline claims and the length of their leases. Only the driver
    /// calls it, each time before it waits.
    pub fn set_inline_room(&self, room: InlineRoom, lease_for: Micros) {
        self.lock().inline_claims.set_room(room, lease_for);
    }

    /// Allows no more inline claims from now on. A claim in flight may still end.
    pub fn disable_inline_claims(&self) {
        self.lock().inline_claims.disable();
    }

    /// Waits until no inline claim is in flight, but not past `deadline`.
    pub async fn inline_claim_ended(&self, deadline: Instant) {
        let ended = async {
            loop {
                let mut ended = std::pin::pin!(self.shared.inline_claim_ended.notified());
                ended.as_mut().enable();
                if !self.lock().inline_claims.is_in_flight() {
                    return;
                }
                ended.await;
            }
        };
        tokio::select! {
            biased;
            () = ended => {}
            () = sleep_until(deadline) => {}
        }
    }

    pub(crate) fn add_inline_batch(&self, batch: InlineBatch) {
        self.lock().inline_claims.add_batch(batch);
        self.shared.woken.notify_one();
    }

    pub(crate) fn end_inline_claim(&self) {
        if self.lock().inline_claims.end() {
            self.shared.woken.notify_one();
        }
        self.shared.inline_claim_ended.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, WakeState> {
        // A panic while holding this lock leaves the state consistent.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
