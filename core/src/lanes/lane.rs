//! One lane: what is known of its rows, how many more it may claim, and where a claim of it begins.

use super::Budget;
use crate::names::DeliveryId;
use crate::time::{Micros, Timestamp};
use std::collections::{BTreeSet, VecDeque};

/// What one lane is known to be.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    /// The store has a row to claim at this time, as far as is known.
    pub(super) next_due: Option<Timestamp>,
    /// Due times of rows that this dispatcher itself put back, at most [`RETRIES_KNOWN_MAX`].
    pub(super) retries: BTreeSet<Timestamp>,
    /// Woken since the last claim was sent: an empty answer to that claim proves nothing.
    pub(super) woken: bool,
    /// Nothing that is due much earlier is expected to be there.
    pub(super) last_due: Timestamp,
    /// When a claim last walked far back for rows that had become visible late.
    pub(super) walked_back: Timestamp,
    pub(super) max_concurrency: Option<u32>,
    pub(super) window: u32,
    /// Applied settlements since the window last grew.
    pub(super) calm: u32,
    /// Claimed, waiting for a permit.
    pub(super) queue: VecDeque<DeliveryId>,
    /// Executing.
    pub(super) running: u32,
    /// Executed, their settlement not answered yet.
    pub(super) settling: u32,
    /// Asked for by claims that are not answered yet.
    pub(super) asked: u32,
    /// In `turn`.
    pub(super) in_turn: bool,
}

/// How far behind the last due time claimed a row may be without being late: as long as a small transaction takes from its
/// first statement to its end. A claim walks over all that was deleted above its floor, and over all that is leased.
pub(super) const FLOOR_SLACK: Micros = Micros::from_millis(50);
/// Rows of longer transactions are as far behind, and this seldom a claim of a busy lane looks for them.
pub(super) const STRAGGLER_SLACK: Micros = Micros::from_secs(5);
pub(super) const STRAGGLERS_EVERY: Micros = Micros::from_secs(1);
pub(super) const WINDOW_OPEN: u32 = u32::MAX;

impl Default for Lane {
    fn default() -> Self {
        Self {
            next_due: None,
            retries: BTreeSet::new(),
            woken: false,
            last_due: Timestamp::EPOCH,
            walked_back: Timestamp::EPOCH,
            max_concurrency: None,
            window: WINDOW_OPEN,
            calm: 0,
            queue: VecDeque::new(),
            running: 0,
            settling: 0,
            asked: 0,
            in_turn: false,
        }
    }
}

impl Lane {
    pub(super) fn due_at(&self) -> Option<Timestamp> {
        match (self.next_due, self.retries.first().copied()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.woken || self.due_at().is_some_and(|at| at <= now)
    }

    pub(super) fn walks_back(&self, now: Timestamp) -> bool {
        now.since(self.walked_back) >= STRAGGLERS_EVERY
    }

    /// Where the next claim begins its walk.
    pub(super) fn floor(&self, now: Timestamp) -> Timestamp {
        let slack = if self.walks_back(now) { STRAGGLER_SLACK } else { FLOOR_SLACK };
        self.last_due.minus(slack).max(Timestamp::EPOCH)
    }

    /// Its rows that are here or on their way.
    pub(super) fn held(&self) -> u32 {
        self.ahead().saturating_add(self.settling)
    }

    /// Its rows that are to be executed yet, or are being executed.
    pub(super) fn ahead(&self) -> u32 {
        (self.queue.len() as u32).saturating_add(self.running).saturating_add(self.asked)
    }

    /// How many more rows it may claim.
    pub(super) fn wants(&self, budget: Budget) -> u32 {
        let at_once = budget.share.min(self.window);
        let wanted = at_once.saturating_add(budget.prefetch).saturating_sub(self.ahead());
        match self.max_concurrency {
            // Two claims that count the same live leases wait for each other in the store: one at a time.
            Some(_) if self.asked > 0 => 0,
            Some(limit) => wanted.min(limit.saturating_sub(self.held())),
            None => wanted,
        }
    }

    pub(super) fn may_start(&self, share: u32) -> bool {
        // What is settling still counts against the window: a start now could not see what that settlement writes.
        self.running < share && self.running.saturating_add(self.settling) < self.window
    }

    /// How many of its rows that are new could start at once. None of them where older ones wait.
    pub(super) fn room(&self, now: Timestamp, share: u32) -> u32 {
        let waits = self.is_due(now) || self.asked > 0 || !self.queue.is_empty();
        let of_share = share.saturating_sub(self.running);
        if waits { 0 } else { of_share.min(self.window.saturating_sub(self.held())) }
    }

    pub(super) fn is_forgettable(&self) -> bool {
        self.held() == 0 && !self.woken && self.due_at().is_none()
    }
}
