//! How the rest of the process tells the dispatcher that rows may have come, and what it may claim for it meanwhile.
//!
//! A row that is written in this process, where the dispatcher has room and its lane is not busy, need not be looked for:
//! the transaction that writes it claims it too, so that between the event and its execution lie one round trip and one
//! commit instead of two. Such a transaction takes the [`Offer`] first. There is one at a time: under load, claims that
//! the dispatcher makes for many rows at once are cheaper.

use crate::Emitted;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_core::{Delivery, LaneQuota, Micros, Timestamp, TriggerId};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Wakes one dispatcher. Cheap to clone; wakes that come before the dispatcher looks are one.
#[derive(Clone, Debug, Default)]
pub struct WakeHandle {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    notify: Notify,
    /// The offer is back.
    returned: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    lanes: BTreeSet<TriggerId>,
    somewhere: bool,
    carried: Option<Carried>,
    room: Room,
    lease_for: Micros,
    /// The offer is out.
    is_taken: bool,
    /// No offer is made any more.
    is_withdrawn: bool,
}

/// What woke the dispatcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Woken {
    /// Lanes that got rows.
    pub lanes: Vec<TriggerId>,
    /// Whether other lanes may have got rows too.
    pub somewhere: bool,
    /// Rows that were claimed for it.
    pub carried: Option<Carried>,
}

/// Rows that one transaction has claimed for the dispatcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The rows.
    pub claimed: Vec<Delivery>,
    /// Before the transaction began.
    pub asked: Instant,
}

/// How much of what a transaction writes it may claim for the dispatcher of its process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Rows, at the most.
    pub rows: u32,
    /// Lanes whose new rows would wait there.
    pub closed: Vec<TriggerId>,
}

impl Room {
    /// For so many rows of any lane.
    #[must_use]
    pub const fn for_rows(rows: u32) -> Self {
        Self { rows, closed: Vec::new() }
    }

    /// The claim that goes with what was `emitted`: of each lane that is open as many rows as it has got just now, at
    /// `floor` or later, and in all no more than there is room for.
    #[must_use]
    pub fn claim(&self, emitted: &[Emitted], floor: Timestamp) -> Vec<LaneQuota> {
        let mut written: BTreeMap<TriggerId, u32> = BTreeMap::new();
        for trigger in emitted.iter().flat_map(|one| &one.woken).filter(|trigger| !self.closed.contains(trigger)) {
            *written.entry(*trigger).or_default() += 1;
        }
        let mut left = self.rows;
        let ask = |(trigger, rows): (TriggerId, u32)| {
            let quota = rows.min(left);
            left -= quota;
            LaneQuota { trigger, quota, floor }
        };
        written.into_iter().map(ask).filter(|asked| asked.quota > 0).collect()
    }
}

/// Room that a transaction has taken, for the rows that it is about to write.
///
/// Whoever has taken it must not be dropped between the commit and [`Offer::claimed`]: the rows would wait for their lease
/// to run out.
#[derive(Debug)]
pub struct Offer {
    handle: WakeHandle,
    room: Room,
    lease_for: Micros,
    asked: Instant,
}

impl Offer {
    /// How much.
    #[must_use]
    pub const fn room(&self) -> &Room {
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
            self.handle.lock().carried = Some(Carried { claimed, asked: self.asked });
            self.handle.shared.notify.notify_one();
        }
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        self.handle.lock().is_taken = false;
        self.handle.shared.returned.notify_waiters();
    }
}

impl WakeHandle {
    /// Rows have come into these lanes. Call it after their transaction has committed.
    pub fn wake(&self, lanes: impl IntoIterator<Item = TriggerId>) {
        let mut pending = self.lock();
        let before = pending.lanes.len();
        pending.lanes.extend(lanes);
        let changed = pending.lanes.len() != before;
        drop(pending);
        if changed {
            self.shared.notify.notify_one();
        }
    }

    /// Rows may have come somewhere: a notification from another process, or a connection that was lost and is back.
    pub fn wake_somewhere(&self) {
        self.lock().somewhere = true;
        self.shared.notify.notify_one();
    }

    /// Waits for the next wake. One task at a time: the driver, in a daemon.
    pub async fn woken(&self) -> Woken {
        loop {
            let woken = self.take_woken();
            if woken.somewhere || !woken.lanes.is_empty() || woken.carried.is_some() {
                return woken;
            }
            self.shared.notify.notified().await;
        }
    }

    /// What is there now.
    pub(crate) fn take_woken(&self) -> Woken {
        let mut pending = self.lock();
        let carried = pending.carried.take();
        if carried.is_some() {
            // They take of it. The dispatcher says how much is left as soon as it has them.
            pending.room = Room::default();
        }
        let somewhere = std::mem::take(&mut pending.somewhere);
        Woken { lanes: std::mem::take(&mut pending.lanes).into_iter().collect(), somewhere, carried }
    }

    /// Takes the room there is for rows that a transaction is about to write, if there is any.
    #[must_use]
    pub fn take_offer(&self) -> Option<Offer> {
        let mut pending = self.lock();
        if pending.is_taken || pending.is_withdrawn || pending.carried.is_some() || pending.room.rows == 0 {
            return None;
        }
        pending.is_taken = true;
        let (room, lease_for) = (pending.room.clone(), pending.lease_for);
        drop(pending);
        Some(Offer { handle: self.clone(), room, lease_for, asked: Instant::now() })
    }

    /// The dispatcher has so much room, from now until it says otherwise. Its driver says so.
    pub fn offer(&self, room: Room, lease_for: Micros) {
        let mut pending = self.lock();
        (pending.room, pending.lease_for) = (room, lease_for);
    }

    /// Makes no offer any more.
    pub(crate) fn withdraw_offer(&self) {
        self.lock().is_withdrawn = true;
    }

    /// Makes no offer any more once this is dropped, however the driver ends.
    pub(crate) fn while_driven(&self) -> Driven {
        Driven(self.clone())
    }

    /// Waits until nobody has the offer, but not past `until`.
    pub(crate) async fn offer_returned(&self, until: Instant) {
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

    fn lock(&self) -> std::sync::MutexGuard<'_, Pending> {
        // A panic while holding this lock leaves nothing half done.
        self.shared.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While this lives there is a driver.
#[derive(Debug)]
pub(crate) struct Driven(WakeHandle);

impl Drop for Driven {
    fn drop(&mut self) {
        self.0.withdraw_offer();
    }
}
