//! How the rest of the process tells the dispatcher that rows may have come, and what it may claim for it meanwhile.
//!
//! A row that is written in this process, where the dispatcher has room and its lane is not busy, need not be looked for:
//! the transaction that writes it claims it too, so that between the event and its execution lie one round trip and one
//! commit instead of two. Such a transaction takes the [`InlineClaimGuard`] first. There is one at a time: under load, claims that
//! the dispatcher makes for many rows at once are cheaper.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_core::{Delivery, InlineRoom, Micros, TriggerId};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Wakes one dispatcher. Cheap to clone; wakes that come before the dispatcher looks are one.
#[derive(Clone, Debug, Default)]
pub struct WakeHandle {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<WakeState>,
    notify: Notify,
    /// The offer is back.
    returned: Notify,
}

#[derive(Debug, Default)]
struct WakeState {
    lanes: BTreeSet<TriggerId>,
    discover: bool,
    inline_batch: Option<InlineBatch>,
    room: InlineRoom,
    lease_for: Micros,
    /// The offer is out.
    is_taken: bool,
    /// No offer is made any more.
    is_withdrawn: bool,
}

/// What woke the dispatcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WakeUp {
    /// Lanes that got rows.
    pub lanes: Vec<TriggerId>,
    /// Whether other lanes may have got rows too.
    pub discover: bool,
    /// Rows that were claimed for it.
    pub inline_batch: Option<InlineBatch>,
}

/// Rows that one transaction has claimed for the dispatcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlineBatch {
    /// The rows.
    pub claimed: Vec<Delivery>,
    /// Before the transaction began.
    pub begun_at: Instant,
}

/// Room that a transaction has taken, for the rows that it is about to write.
///
/// Whoever has taken it must not be dropped between the commit and [`InlineClaimGuard::claimed`]: the rows would wait for their lease
/// to run out.
#[derive(Debug)]
pub struct InlineClaimGuard {
    handle: WakeHandle,
    room: InlineRoom,
    lease_for: Micros,
    begun_at: Instant,
}

impl InlineClaimGuard {
    /// How much.
    #[must_use]
    pub const fn room(&self) -> &InlineRoom {
        &self.room
    }

    /// How long they are to be leased, from the store's now.
    #[must_use]
    pub const fn lease_for(&self) -> Micros {
        self.lease_for
    }

    /// These rows were claimed. Call it after their transaction has committed.
    pub fn claimed(self, claimed: Vec<Delivery>) {
        if !claimed.is_empty() {
            self.handle.lock().inline_batch = Some(InlineBatch { claimed, begun_at: self.begun_at });
            self.handle.shared.notify.notify_one();
        }
    }
}

impl Drop for InlineClaimGuard {
    fn drop(&mut self) {
        self.handle.lock().is_taken = false;
        self.handle.shared.returned.notify_waiters();
    }
}

impl WakeHandle {
    /// Rows have come into these lanes. Call it after their transaction has committed.
    pub fn wake(&self, lanes: impl IntoIterator<Item = TriggerId>) {
        let mut state = self.lock();
        let before = state.lanes.len();
        state.lanes.extend(lanes);
        let changed = state.lanes.len() != before;
        drop(state);
        if changed {
            self.shared.notify.notify_one();
        }
    }

    /// Rows may have come discover: a notification from another process, or a connection that was lost and is back.
    pub fn wake_for_discovery(&self) {
        self.lock().discover = true;
        self.shared.notify.notify_one();
    }

    /// Waits for the next wake. One task at a time: the driver, in a daemon.
    pub async fn next_wake_up(&self) -> WakeUp {
        loop {
            let woken = self.take_wake_up();
            if woken.discover || !woken.lanes.is_empty() || woken.inline_batch.is_some() {
                return woken;
            }
            self.shared.notify.notified().await;
        }
    }

    /// What is there now.
    pub fn take_wake_up(&self) -> WakeUp {
        let mut state = self.lock();
        let inline_batch = state.inline_batch.take();
        if inline_batch.is_some() {
            // They take of it. The dispatcher says how much is left as soon as it has them.
            state.room = InlineRoom::default();
        }
        let discover = std::mem::take(&mut state.discover);
        WakeUp { lanes: std::mem::take(&mut state.lanes).into_iter().collect(), discover, inline_batch }
    }

    /// Takes the room there is for rows that a transaction is about to write, if there is any.
    #[must_use]
    pub fn try_inline_claim(&self) -> Option<InlineClaimGuard> {
        let mut state = self.lock();
        if state.is_taken || state.is_withdrawn || state.inline_batch.is_some() || state.room.rows == 0 {
            return None;
        }
        state.is_taken = true;
        let (room, lease_for) = (state.room.clone(), state.lease_for);
        drop(state);
        Some(InlineClaimGuard { handle: self.clone(), room, lease_for, begun_at: Instant::now() })
    }

    /// The dispatcher has so much room, from now until it says otherwise. Its driver says so.
    pub fn offer(&self, room: InlineRoom, lease_for: Micros) {
        let mut state = self.lock();
        (state.room, state.lease_for) = (room, lease_for);
    }

    /// Makes no offer any more.
    pub fn disable_inline_claims(&self) {
        self.lock().is_withdrawn = true;
    }

    /// Makes no offer any more once this is dropped, however the driver ends.
    pub fn driver_guard(&self) -> DriverGuard {
        DriverGuard(self.clone())
    }

    /// Waits until nobody has the offer, but not past `until`.
    pub async fn inline_claim_ended(&self, until: Instant) {
        let returned = async {
            loop {
                let mut returned = std::pin::pin!(self.shared.returned.notified());
                returned.as_mut().enable();
                if !self.lock().is_taken {
                    return;
                }
                returned.await;
            }
        };
        tokio::select! {
            biased;
            () = returned => {}
            () = sleep_until(until) => {}
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, WakeState> {
        // A panic while holding this lock leaves nothing half done.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While this lives there is a driver.
#[derive(Debug)]
pub struct DriverGuard(WakeHandle);

impl Drop for DriverGuard {
    fn drop(&mut self) {
        self.0.disable_inline_claims();
    }
}
