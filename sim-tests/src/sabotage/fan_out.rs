//! Bugs in the fan-out of events and in inline claims.

use super::Bug;
use crate::world::World;
use std::collections::BTreeSet;
use tidegate_core::{Delivery, DeliveryId, InlineRoom, Micros, Timestamp, TriggerId};
use tidegate_ports::EmittedEvent;

impl World {
    /// Makes an inline claim like a store with the bug.
    pub(crate) fn sabotaged_inline_claim(
        &mut self,
        emitted: &mut [EmittedEvent],
        room: &InlineRoom,
        lease_for: Micros,
    ) -> Vec<Delivery> {
        let (bug, store) = (self.bug(), self.store_mut());
        let lanes: BTreeSet<TriggerId> = emitted.iter().flat_map(|event| event.lanes.iter().copied()).collect();
        let mut limits = Vec::new();
        if bug == Some(Bug::LimitedInline) {
            limits.extend(lanes.into_iter().map(|lane| (lane, store.spoil_limit(lane, None))));
        }
        let claimed = store.claim_inline(emitted, room, lease_for);
        limits.into_iter().for_each(|(lane, limit)| _ = store.spoil_limit(lane, limit));
        if bug == Some(Bug::InlineClaimForgotten) {
            claimed.iter().for_each(|row| store.spoil(row.id, |stored| stored.lease_until = Timestamp(i64::MAX)));
        }
        claimed
    }

    /// Adds a second copy of the last emitted row.
    pub(crate) fn fan_out_again(&mut self) {
        let last = self.store().rows_after(DeliveryId(i64::MIN)).filter(|row| row.lease.0 == 0).last().cloned();
        if let Some(mut row) = last.filter(|_| self.bug() == Some(Bug::FansOutTwice)) {
            row.id = DeliveryId(row.id.0 + 500_000);
            self.store_mut().bring_back(row);
        }
    }
}
