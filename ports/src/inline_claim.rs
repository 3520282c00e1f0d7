//! Inline claims: a transaction of this process claims the rows that it writes, for the dispatcher
//! of the same process.
//!
//! Without an inline claim, an event needs two round trips and two commits before its execution:
//! one commit writes the row, the next one claims it. With an inline claim one round trip and one
//! commit are enough. The transaction takes an [`InlineClaimGuard`] before it writes.
//!
//! At most one inline claim per dispatcher is in flight. Under load the dispatcher claims many rows
//! with one commit, which is cheaper than one inline claim for each transaction.

use crate::WakeHandle;
use std::sync::Arc;
use tidegate_core::{Delivery, InlineRoom, Micros};
use tokio::time::Instant;

/// The rows of one inline claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlineBatch {
    /// The deliveries in the order in which the store returned them.
    pub deliveries: Vec<Arc<Delivery>>,
    /// A moment before the transaction began. The dispatcher counts the leases from this moment, so
    /// that each lease ends earlier in the dispatcher than in the store.
    pub started_at: Instant,
}

/// The right to make one inline claim, with the room for it.
///
/// Do not drop the guard between the commit and [`InlineClaimGuard::hand_over`]. The dispatcher
/// would not receive the rows, and they would wait until their leases expire.
#[derive(Debug)]
pub struct InlineClaimGuard {
    handle: WakeHandle,
    room: InlineRoom,
    lease_for: Micros,
    started_at: Instant,
}

impl InlineClaimGuard {
    /// How many rows the transaction may claim, and the lanes that it must leave alone.
    #[must_use]
    pub const fn room(&self) -> &InlineRoom {
        &self.room
    }

    /// The length of the leases, counted from the store's time of the claim.
    #[must_use]
    pub const fn lease_for(&self) -> Micros {
        self.lease_for
    }

    /// Hands the claimed rows to the dispatcher. Call it after the transaction has committed.
    pub fn hand_over(self, deliveries: Vec<Arc<Delivery>>) {
        if !deliveries.is_empty() {
            self.handle.add_inline_batch(InlineBatch { deliveries, started_at: self.started_at });
        }
    }
}

impl Drop for InlineClaimGuard {
    fn drop(&mut self) {
        self.handle.end_inline_claim();
    }
}

/// The state of the inline claims of one dispatcher. The lock of the wake handle protects it.
#[derive(Debug, Default)]
pub(crate) struct InlineClaims {
    room: InlineRoom,
    lease_for: Micros,
    /// Set from the commit of an inline claim until the driver takes the rows.
    batch: Option<InlineBatch>,
    is_in_flight: bool,
    /// The most rows of the claim in flight.
    rows_in_flight: u32,
    /// Whether the driver knows of the claim in flight.
    is_known: bool,
    /// Whether a claim that the driver knows of has ended without rows.
    has_ended_empty: bool,
    is_disabled: bool,
}

impl InlineClaims {
    /// Returns a guard unless the room is empty, claims are disabled, another claim is in flight,
    /// or the driver has not yet taken the rows of the previous claim.
    pub(crate) fn start(&mut self, handle: &WakeHandle) -> Option<InlineClaimGuard> {
        if self.is_in_flight || self.is_disabled || self.batch.is_some() || self.room.rows == 0 {
            return None;
        }
        self.is_in_flight = true;
        self.rows_in_flight = self.room.rows;
        Some(InlineClaimGuard {
            handle: handle.clone(),
            room: self.room.clone(),
            lease_for: self.lease_for,
            started_at: Instant::now(),
        })
    }

    /// Ends the claim in flight. Returns whether the driver must be woken, because it knows of the
    /// claim and gets no rows from it.
    pub(crate) fn end(&mut self) -> bool {
        self.is_in_flight = false;
        self.has_ended_empty |= std::mem::take(&mut self.is_known) && self.batch.is_none();
        self.has_ended_empty
    }

    /// Empties the room. Returns the most rows that the driver may still get from a claim.
    pub(crate) fn pause(&mut self) -> u32 {
        self.room = InlineRoom::default();
        self.is_known = self.is_in_flight;
        match &self.batch {
            Some(batch) => batch.deliveries.len() as u32,
            None if self.is_in_flight => self.rows_in_flight,
            None => 0,
        }
    }

    /// Whether a claim that the driver knows of has ended without rows since the last call.
    pub(crate) fn take_ended_empty(&mut self) -> bool {
        std::mem::take(&mut self.has_ended_empty)
    }

    pub(crate) fn is_in_flight(&self) -> bool {
        self.is_in_flight
    }

    pub(crate) fn disable(&mut self) {
        self.is_disabled = true;
    }

    pub(crate) fn set_room(&mut self, room: InlineRoom, lease_for: Micros) {
        (self.room, self.lease_for) = (room, lease_for);
    }

    pub(crate) fn add_batch(&mut self, batch: InlineBatch) {
        self.batch = Some(batch);
    }

    pub(crate) fn take_batch(&mut self) -> Option<InlineBatch> {
        let batch = self.batch.take();
        if batch.is_some() {
            // The rows use up room that the dispatcher has not subtracted yet. The driver sets the
            // new room after the dispatcher has handled them.
            self.room = InlineRoom::default();
        }
        batch
    }
}
