//! The rules for how many rows a claim may take: from one lane, in an exchange, and inline.
//!
//! * **The lane reserve.** [`reserve`] is the number of permits that only lanes which run
//!   nothing may use. Any number of busy lanes leaves it free, so that the first row of another
//!   lane finds a permit.
//! * **An exchange.** [`Capacity::budget`] is the number of rows that an exchange may claim.
//!   `Lanes` deals it to lanes.
//! * **An inline claim.** A transaction that writes rows may claim some of them at once for the
//!   dispatcher of its own process. [`Capacity::inline_room`] computes the [`InlineRoom`], which
//!   bounds the claim, and [`InlineRoom::quotas`] turns it into quotas.
//!
//! The dispatcher computes the inline room, the wake handle passes it on, and a store computes the
//! quotas of the lanes that its transaction wrote to. Only the store knows which of these lanes
//! have a `max_concurrency`. On Postgres the function `tidegate.fan_out_and_claim` repeats
//! [`InlineRoom::quotas`] in SQL, so that the claim needs no round trip of its own. The conformance
//! suite compares the two.

use crate::names::TriggerId;
use std::collections::BTreeMap;

/// The permits that only lanes which run nothing may use: an eighth, and at least one of several.
/// If there is only one permit, each lane may use it.
pub(crate) fn reserve(permits: u32) -> u32 {
    if permits <= 1 { 0 } else { (permits / 8).max(1) }
}

/// The numbers of the dispatcher that bound a claim.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    /// The permits that async work may use, free or not.
    pub(crate) async_permits: u32,
    /// The free permits that async work may use.
    pub(crate) free_permits: u32,
    /// Claimed rows that wait for a permit.
    pub(crate) rows_queued: u32,
    /// Rows that claims in flight may return, inline claims included.
    pub(crate) rows_requested: u32,
    /// How many of them are to start at once.
    pub(crate) starts_requested: u32,
    /// Rows that may be claimed ahead of a free permit.
    pub(crate) prefetch: u32,
    /// The most rows of one claim. 0 during a shutdown.
    pub(crate) batch_max: u32,
}

/// The rows that an exchange may claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// The most rows of all lanes together.
    pub(crate) rows: u32,
    /// How many of these rows find a free permit. The others wait in the process.
    pub(crate) permits: u32,
    /// How many of these permits are not promised to a claim in flight. So many rows start at once.
    pub(crate) starts: u32,
    /// How many of these permits only lanes without any row may use.
    pub(crate) reserve: u32,
    /// The most rows of one lane that may run at once.
    pub(crate) share: u32,
    /// The rows of one lane that may wait in the process beyond its share.
    pub(crate) prefetch: u32,
}

/// The state of one lane that decides whether a new row of it could start at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LaneLoad {
    pub(crate) trigger: TriggerId,
    /// Whether other rows of the lane wait, here or in the store.
    pub(crate) has_backlog: bool,
    /// Whether the lane gives no rows, because its handlers do not start.
    pub(crate) is_resting: bool,
    pub(crate) running: u32,
    pub(crate) settling: u32,
    /// The most rows that may run or be settling at once.
    pub(crate) window: u32,
}

/// With more closed lanes than this, the inline room is empty, because every inline claim needs the
/// list of all closed lanes.
const CLOSED_LANES_MAX: usize = 64;

impl Capacity {
    /// The permits that only lanes which run nothing may use.
    pub(crate) fn lane_reserve(self) -> u32 {
        reserve(self.async_permits)
    }

    /// The most rows of one lane that may run at once.
    fn lane_share(self) -> u32 {
        self.async_permits - self.lane_reserve()
    }

    /// The free permits that no claim in flight may use.
    fn unrequested_permits(self) -> u32 {
        self.free_permits.saturating_sub(self.rows_requested)
    }

    /// The numbers for lanes beside a claim of `rows` suspects.
    pub(crate) fn beside_suspects(self, rows: u32) -> Self {
        Self { free_permits: self.free_permits.saturating_sub(rows), ..self }
    }

    /// The budget of an exchange: one row per free permit, and the prefetch. Requested rows count
    /// against it, and first against the prefetch. Otherwise the rows that a busy lane has
    /// requested to wait would leave no permit to another lane.
    ///
    /// Queued rows count against the prefetch only. They wait although permits are free, because
    /// their own lane may not run more.
    pub(crate) fn budget(self) -> Budget {
        let ahead = self.prefetch.saturating_sub(self.rows_queued);
        let rows = self.free_permits.saturating_add(ahead).saturating_sub(self.rows_requested).min(self.batch_max);
        Budget {
            rows,
            permits: self.free_permits.min(rows),
            starts: self.free_permits.saturating_sub(self.starts_requested).min(rows),
            reserve: self.lane_reserve(),
            share: self.lane_share(),
            prefetch: self.prefetch,
        }
    }

    /// The most suspects of a lane that a claim may take. All of them start at once, before the
    /// queued rows of their lane; a settling row leaves the window before they do. Half of the
    /// permits are left to rows that are no suspects.
    pub(crate) fn suspects_max(self, load: LaneLoad) -> u32 {
        let window_left = load.window.saturating_sub(load.running);
        let permits = self.permits_for(load.running).div_ceil(2);
        if load.is_resting { 0 } else { permits.min(window_left).min(self.batch_max) }
    }

    /// The room for an inline claim. All of its rows may be of one lane. So their number is the
    /// smallest of these: the rows that a lane without any row could start, and those that each
    /// open lane could start.
    pub(crate) fn inline_room(self, loads: impl Iterator<Item = LaneLoad>) -> InlineRoom {
        let mut room = InlineRoom::for_rows(self.permits_for(0).min(self.batch_max));
        if room.rows == 0 {
            return room;
        }
        for load in loads {
            match self.startable_rows(load) {
                0 => room.closed_lanes.push(load.trigger),
                rows => room.rows = room.rows.min(rows),
            }
            if room.closed_lanes.len() > CLOSED_LANES_MAX {
                return InlineRoom::default();
            }
        }
        room
    }

    /// The most new rows of a lane that could start at once. 0 if the lane is closed. A store also
    /// leaves out lanes with a `max_concurrency`.
    fn startable_rows(self, load: LaneLoad) -> u32 {
        let window_left = load.window.saturating_sub(load.running.saturating_add(load.settling));
        if load.has_backlog { 0 } else { self.permits_for(load.running).min(window_left) }
    }

    /// The free permits for a lane that runs `running` rows.
    fn permits_for(self, running: u32) -> u32 {
        let free = self.unrequested_permits();
        let beyond_reserve = free.saturating_sub(self.lane_reserve());
        if running == 0 { beyond_reserve.max(1).min(free) } else { beyond_reserve }
    }
}

/// The room for inline claims: the rows that a transaction may claim when it writes them.
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

    /// How many rows of each lane an inline claim takes. `written` names the lane of each row that
    /// the transaction wrote. `is_limited` tells whether the trigger of a lane has a
    /// `max_concurrency`.
    ///
    /// A closed lane gives no rows, and neither does a limited lane. An exchange counts the slots
    /// of a limited lane; a second place that counts them would make every writing transaction wait
    /// for the claims of that lane. Any other lane gives the rows that were written to it, as far
    /// as the room goes, and never a row that was written earlier.
    #[must_use]
    pub fn quotas(
        &self,
        written: impl IntoIterator<Item = TriggerId>,
        is_limited: impl Fn(TriggerId) -> bool,
    ) -> BTreeMap<TriggerId, u32> {
        let mut quotas: BTreeMap<TriggerId, u32> = BTreeMap::new();
        for trigger in written.into_iter().filter(|trigger| !self.closed_lanes.contains(trigger)) {
            *quotas.entry(trigger).or_default() += 1;
        }
        let mut left = self.rows;
        quotas.retain(|trigger, rows| {
            *rows = if is_limited(*trigger) { 0 } else { left.min(*rows) };
            left -= *rows;
            *rows > 0
        });
        quotas
    }
}

/// The bytes of event data that the claims of an exchange may take.
#[derive(Clone, Copy, Debug)]
pub struct ClaimRoom {
    bytes_left: u64,
    is_empty: bool,
    is_cut: bool,
}

impl ClaimRoom {
    /// Room for `bytes_max` bytes, or for one row that is larger.
    #[must_use]
    pub const fn new(bytes_max: u64) -> Self {
        Self { bytes_left: bytes_max, is_empty: true, is_cut: false }
    }

    /// Claims a row with `bytes` of event data. Returns false if the row does not fit. Then no
    /// other row may be claimed.
    pub fn take(&mut self, bytes: u64) -> bool {
        self.is_cut |= !self.is_empty && bytes > self.bytes_left;
        if !self.is_cut {
            self.bytes_left = self.bytes_left.saturating_sub(bytes);
            self.is_empty = false;
        }
        !self.is_cut
    }

    /// Whether a row did not fit.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        self.is_cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eighth_of_the_permits_is_left_to_lanes_that_run_nothing() {
        for (permits, expected) in [(0, 0), (1, 0), (2, 1), (4, 1), (15, 1), (16, 2), (56, 7), (64, 8), (100, 12)] {
            assert_eq!(super::reserve(permits), expected, "{permits} permits");
        }
    }

    #[test]
    fn closed_and_limited_lanes_use_no_inline_room() {
        let room = InlineRoom { rows: 4, closed_lanes: vec![TriggerId(1)] };
        let written = [1, 2, 3, 3, 4, 2, 4, 3].map(TriggerId);
        let quotas = room.quotas(written, |trigger| trigger == TriggerId(2));
        assert_eq!(quotas, BTreeMap::from([(TriggerId(3), 3), (TriggerId(4), 1)]));
    }
}
