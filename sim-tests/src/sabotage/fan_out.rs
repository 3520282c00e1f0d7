//! Bugs in the fan-out of events and in inline claims.

use super::Bug;
use std::collections::BTreeSet;
use std::sync::Arc;
use tidegate_core::{Delivery, DeliveryId, InlineRoom, Micros, Timestamp, TriggerId};
use tidegate_io_sim::Memory;
use tidegate_ports::EmittedEvent;

/// Makes an inline claim like a store with the bug.
pub(crate) fn claim_inline(
    bug: Option<Bug>,
    store: &mut Memory,
    emitted: &mut [EmittedEvent],
    room: &InlineRoom,
    lease_for: Micros,
) -> Vec<Arc<Delivery>> {
    let lanes: BTreeSet<TriggerId> = emitted.iter().flat_map(|event| event.lanes.iter().copied()).collect();
    let mut limits = Vec::new();
    if bug == Some(Bug::LimitedInline) {
        limits.extend(lanes.into_iter().map(|lane| (lane, store.spoil_limit(lane, None))));
    }
    let more = InlineRoom { rows: room.rows.saturating_mul(2), ..room.clone() };
    let room = if bug == Some(Bug::InlineTakesMore) { &more } else { room };
    let claimed = store.claim_inline(emitted, room, lease_for);
    limits.into_iter().for_each(|(lane, limit)| _ = store.spoil_limit(lane, limit));
    if bug == Some(Bug::InlineClaimForgotten) {
        claimed.iter().for_each(|row| store.spoil(row.id, |stored| stored.lease_until = Timestamp(i64::MAX)));
    }
    claimed
}

/// Adds a second copy of the last emitted row.
pub(crate) fn fan_out_again(bug: Option<Bug>, store: &mut Memory) {
    if bug != Some(Bug::FansOutTwice) {
        return;
    }
    if let Some(mut row) = store.rows_after(DeliveryId(i64::MIN)).filter(|row| row.lease.0 == 0).last().cloned() {
        row.id = DeliveryId(row.id.0 + 500_000);
        store.bring_back(row);
    }
}
