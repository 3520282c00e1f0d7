//! The room for inline claims: how many of the rows that a transaction writes it may claim at once for the dispatcher of
//! its own process.
//!
//! The rule of an inline claim is here and nowhere else. The dispatcher computes the room, the wake handle passes it on,
//! and a store asks for the quotas of the lanes that its transaction has written to. The function
//! `tidegate.claim_written` on Postgres is the same rule in SQL, so that the claim needs no round trip of its own; the
//! conformance suite compares the two.

use crate::names::TriggerId;
use crate::store::LaneQuota;
use crate::time::Timestamp;
use std::collections::BTreeMap;

/// How many rows a transaction may claim inline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InlineRoom {
    /// The most rows in all lanes together.
    pub rows: u32,
    /// Lanes in which a new row would wait behind others. None of their rows is claimed inline.
    pub closed_lanes: Vec<TriggerId>,
}

impl InlineRoom {
    /// Room for `rows` rows of any lane.
    #[must_use]
    pub const fn for_rows(rows: u32) -> Self {
        Self { rows, closed_lanes: Vec::new() }
    }

    /// The quotas of an inline claim. `written` names the lane of each row that the transaction wrote. A closed lane gets
    /// no quota, and an open lane at most as many rows as it was written. `floor` excludes rows from before.
    #[must_use]
    pub fn quotas(&self, written: impl IntoIterator<Item = TriggerId>, floor: Timestamp) -> Vec<LaneQuota> {
        let mut rows_by_lane: BTreeMap<TriggerId, u32> = BTreeMap::new();
        for trigger in written.into_iter().filter(|trigger| !self.closed_lanes.contains(trigger)) {
            *rows_by_lane.entry(trigger).or_default() += 1;
        }
        let mut left = self.rows;
        let quota = |(trigger, rows): (TriggerId, u32)| {
            let quota = rows.min(left);
            left -= quota;
            LaneQuota { trigger, quota, floor }
        };
        rows_by_lane.into_iter().map(quota).filter(|lane| lane.quota > 0).collect()
    }
}
