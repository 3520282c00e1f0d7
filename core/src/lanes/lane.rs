//! One lane: its known rows, and the quota and the look-back of its next claim.

use super::deal::LaneWants;
use crate::names::{DeliveryId, TriggerId};
use crate::room::{Budget, LaneLoad};
use crate::time::{Micros, Timestamp};
use std::collections::{BTreeSet, VecDeque};

#[derive(Clone, Debug)]
pub(super) struct Lane {
    /// The due time of the next row to claim in the store, if it is known.
    pub(super) next_due: Option<Timestamp>,
    /// Due times of rows that this dispatcher put back, at most `RETRIES_KNOWN_MAX`.
    pub(super) retries: BTreeSet<Timestamp>,
    /// Whether the lane was woken since its last claim was sent. Then an empty answer to that claim
    /// does not prove that the lane is empty.
    pub(super) is_woken: bool,
    /// An older row than usual may be free. The next claims look back to this due time, until one
    /// of them is answered.
    look_back_to: Option<Timestamp>,
    /// When a claim last looked far back for stragglers.
    last_long_walk: Timestamp,
    pub(super) max_concurrency: Option<u32>,
    /// The most rows that may run or be settling at once. [`WINDOW_OPEN`] while the lane has no
    /// conflicts.
    window: u32,
    /// Answered settlements since the window last changed.
    settled_in_window: u32,
    /// Claimed rows that wait for a permit.
    pub(super) queue: VecDeque<DeliveryId>,
    pub(super) running: u32,
    /// Rows with a settlement that has no answer yet.
    pub(super) settling: u32,
    /// Rows that claims in flight may return.
    pub(super) rows_requested: u32,
    /// Whether the lane is in `Lanes::turn`.
    pub(super) is_in_turn: bool,
    /// Whether the lane gives no rows for a while, because its handlers do not start.
    pub(super) is_resting: bool,
}

/// How far before the store's now a claim looks back. It covers the time that a small transaction
/// takes from its first statement to its commit. A claim walks over every row of the lane that is
/// due since then, and most of these rows are claimed or deleted.
pub(super) const FLOOR_SLACK: Micros = Micros::from_millis(50);
/// How far before the store's now a claim looks back if it looks for stragglers, which are rows of
/// longer transactions.
pub(super) const STRAGGLER_SLACK: Micros = Micros::from_secs(5);
/// How often a claim of a busy lane looks for stragglers.
pub(super) const STRAGGLERS_EVERY: Micros = Micros::from_secs(1);
const WINDOW_OPEN: u32 = u32::MAX;

impl Default for Lane {
    fn default() -> Self {
        Self {
            next_due: None,
            retries: BTreeSet::new(),
            is_woken: false,
            look_back_to: None,
            last_long_walk: Timestamp::EPOCH,
            max_concurrency: None,
            window: WINDOW_OPEN,
            settled_in_window: 0,
            queue: VecDeque::new(),
            running: 0,
            settling: 0,
            rows_requested: 0,
            is_in_turn: false,
            is_resting: false,
        }
    }
}

impl Lane {
    fn due_at(&self) -> Option<Timestamp> {
        match (self.next_due, self.retries.first().copied()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        !self.is_resting && (self.is_woken || self.due_at().is_some_and(|at| at <= now))
    }

    pub(super) fn has_claim_in_flight(&self) -> bool {
        self.rows_requested > 0
    }

    /// Whether the last search is long ago, or lies ahead because the store's clock was set back.
    fn looks_for_stragglers(&self, now: Timestamp) -> bool {
        now.0.abs_diff(self.last_long_walk.0) >= STRAGGLERS_EVERY.0
    }

    /// The due time to which the next claim looks back. A store's floor that is lower counts
    /// instead, so a claim that drains a backlog walks over no row twice.
    pub(super) fn look_back(&self, now: Timestamp) -> Timestamp {
        let slack = if self.looks_for_stragglers(now) { STRAGGLER_SLACK } else { FLOOR_SLACK };
        let recent = now.minus(slack).max(Timestamp::EPOCH);
        self.look_back_to.map_or(recent, |at| at.min(recent))
    }

    /// Makes the next claim look back to `at` or further.
    pub(super) fn look_back_to(&mut self, at: Timestamp) {
        self.look_back_to = Some(self.look_back_to.map_or(at, |other| other.min(at)));
    }

    /// A claim that looked back to `at` was answered. If it left older rows behind, a discovery
    /// names them again.
    pub(super) fn looked_back_to(&mut self, at: Timestamp) {
        self.look_back_to = self.look_back_to.filter(|wanted| *wanted < at);
    }

    pub(super) fn claim_sent(&mut self, now: Timestamp, quota: u32) {
        self.is_woken = false;
        if self.looks_for_stragglers(now) {
            self.last_long_walk = now;
        }
        self.retries = self.retries.split_off(&Timestamp(now.0.saturating_add(1)));
        self.rows_requested = self.rows_requested.saturating_add(quota);
    }

    /// Rows that are queued or running, and rows that claims in flight may return.
    fn rows_ahead(&self) -> u32 {
        (self.queue.len() as u32).saturating_add(self.running).saturating_add(self.rows_requested)
    }

    /// Rows that claims of this dispatcher hold, and rows that claims in flight may return.
    fn rows_leased(&self) -> u32 {
        self.rows_ahead().saturating_add(self.settling)
    }

    /// The rows that the next claim should take from the lane: as many as may run at once, and the
    /// prefetch. A lane that may not claim ahead gets no rows to wait.
    pub(super) fn wants(&self, budget: Budget, claims_ahead: bool) -> LaneWants {
        let (at_once, has) = (budget.share.min(self.window), self.rows_ahead());
        let prefetch = if claims_ahead { budget.prefetch } else { 0 };
        let most = at_once.saturating_add(prefetch).saturating_sub(has);
        let rows = match self.max_concurrency {
            // The store counts the slots of a limited lane in one claim after the other. A second
            // claim would hold up its exchange and find few free slots. So such a lane has one
            // claim in flight.
            Some(_) if self.has_claim_in_flight() => 0,
            Some(limit) => most.min(limit.saturating_sub(self.rows_leased())),
            None => most,
        };
        let to_start = at_once.saturating_sub(has).min(rows);
        LaneWants { has, to_start, to_wait: rows - to_start, claims_ahead }
    }

    /// Whether the lane has a row that may start. Rows that are settling count against the window:
    /// a handler that starts now could not read their writes.
    pub(super) fn may_start(&self) -> bool {
        !self.is_resting && !self.queue.is_empty() && self.running.saturating_add(self.settling) < self.window
    }

    pub(super) fn load(&self, trigger: TriggerId, now: Timestamp) -> LaneLoad {
        LaneLoad {
            trigger,
            has_backlog: self.is_resting || self.is_due(now) || self.has_claim_in_flight() || !self.queue.is_empty(),
            is_resting: self.is_resting,
            running: self.running,
            settling: self.settling,
            window: self.window,
        }
    }

    pub(super) fn settled(&mut self) {
        self.settling = self.settling.saturating_sub(1);
        if self.window == WINDOW_OPEN {
            return;
        }
        self.settled_in_window += 1;
        if self.settled_in_window >= self.window {
            self.settled_in_window = 0;
            self.window = self.window.saturating_add(1);
        }
    }

    pub(super) fn halve_window(&mut self, at_once: u32) {
        self.window = (self.window.min(at_once) / 2).max(1);
        self.settled_in_window = 0;
    }

    pub(super) fn is_idle(&self) -> bool {
        self.rows_leased() == 0 && !self.is_woken && !self.is_resting && self.due_at().is_none()
    }
}
