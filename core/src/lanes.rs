//! Lanes: one for each trigger with work. They decide how many rows of each trigger are claimed and
//! which row starts next, so that neither a million waiting rows of one trigger nor a slow handler
//! delays another trigger.
//!
//! A free permit goes to the lane that runs the fewest rows. The last free permits, the **lane
//! reserve** ([`crate::room`]), go only to lanes that run nothing. So any number of busy lanes
//! leaves a permit for the first row of another lane, and the busy lanes share the other permits
//! evenly.
//!
//! Two more numbers bound a lane:
//!
//! * the `max_concurrency` of its trigger;
//! * its **window**, which shrinks when handlers of the lane conflict with each other on the values
//!   that they write, and grows while they do not.

mod deal;
mod lane;
#[cfg(test)]
mod tests;

use crate::names::{DeliveryId, TriggerId};
use crate::room::{Budget, LaneLoad};
use crate::store::{LaneQuota, LaneState};
use crate::time::Timestamp;
use deal::{Dealt, LaneWants};
use lane::Lane;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

/// All lanes that are known to have work, in the process or in the store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lanes {
    lanes: BTreeMap<TriggerId, Lane>,
    /// The lanes that may claim rows ahead of free permits, by their last claimed row. If one loss
    /// makes a dead letter, a row that waits for a permit would die with the process although it
    /// never began.
    ahead: BTreeSet<TriggerId>,
    /// The last lane of the last claim. The next deal begins with the lane after it.
    last_dealt: TriggerId,
    /// Lanes with a queue. Of lanes that run as many rows, the first one starts the next row.
    turn: VecDeque<TriggerId>,
    /// Claimed rows of all lanes that wait for a permit.
    queued: u32,
    /// Rows of all lanes that claims in flight may return.
    rows_requested: u32,
    /// How many of them are to start at once.
    starts_requested: u32,
    /// Whether a lane without a claim in flight may have become due since the last deal.
    has_new_work: bool,
}

/// The most due times of retried rows that a lane keeps. Discovery finds the other rows.
const RETRIES_KNOWN_MAX: usize = 64;

impl Lanes {
    /// The lane of `trigger` got rows.
    pub(crate) fn wake(&mut self, trigger: TriggerId) {
        let lane = self.lanes.entry(trigger).or_default();
        lane.is_woken = true;
        self.has_new_work |= !lane.has_claim_in_flight();
    }

    /// A settlement of this dispatcher put a row of `trigger` back, due at `due_at`.
    pub(crate) fn put_back(&mut self, trigger: TriggerId, due_at: Timestamp) {
        let retries = &mut self.lanes.entry(trigger).or_default().retries;
        retries.insert(due_at);
        if retries.len() > RETRIES_KNOWN_MAX {
            retries.pop_last();
        }
    }

    /// The store's clock was set back, and the store has moved its due times.
    pub(crate) fn forget_due_times(&mut self) {
        for lane in self.lanes.values_mut() {
            lane.next_due = None;
            lane.retries.clear();
        }
    }

    /// Applies a discovery. A lane that it does not name has no rows, unless a wake-up has named
    /// the lane since.
    pub(crate) fn discovered(&mut self, found: &[LaneState]) {
        for lane in self.lanes.values_mut() {
            lane.next_due = None;
        }
        for state in found {
            let lane = self.lanes.entry(state.trigger).or_default();
            lane.next_due = Some(state.next_due);
            lane.max_concurrency = state.max_concurrency;
            lane.look_back_to(state.next_due);
        }
        self.has_new_work = true;
        self.forget_idle();
    }

    /// Deals the budget to the lanes that have due rows. A deal begins with the lane after the last
    /// lane of the previous claim, so that no lane is passed over twice in a row.
    pub(crate) fn deal_quotas(&mut self, now: Timestamp, budget: Budget) -> Vec<LaneQuota> {
        if budget.rows == 0 {
            return Vec::new();
        }
        let after_last = (Bound::Excluded(self.last_dealt), Bound::Unbounded);
        let (lanes, wants): (Vec<(TriggerId, &Lane)>, Vec<LaneWants>) = self
            .lanes
            .range(after_last)
            .chain(self.lanes.range(..=self.last_dealt))
            .filter(|(_, lane)| lane.is_due(now))
            .map(|(trigger, lane)| ((*trigger, lane), lane.wants(budget, self.ahead.contains(trigger))))
            .filter(|(_, wants)| wants.rows() > 0)
            .unzip();
        let dealt = deal::deal(budget, &wants);
        let quota = |((trigger, lane), dealt): (&(TriggerId, &Lane), Dealt)| LaneQuota {
            trigger: *trigger,
            quota: dealt.rows,
            starts: dealt.starts,
            look_back: lane.look_back(now),
        };
        self.has_new_work = dealt.iter().any(|dealt| dealt.rows == 0);
        lanes.iter().zip(dealt).filter(|(_, dealt)| dealt.rows > 0).map(quota).collect()
    }

    /// A claim with these quotas was sent.
    pub(crate) fn claim_sent(&mut self, now: Timestamp, quotas: &[LaneQuota]) {
        for LaneQuota { trigger, quota, starts, .. } in quotas {
            self.lanes.entry(*trigger).or_default().claim_sent(now, *quota);
            self.rows_requested = self.rows_requested.saturating_add(*quota);
            self.starts_requested = self.starts_requested.saturating_add(*starts);
        }
        if let Some(last) = quotas.last() {
            self.last_dealt = last.trigger;
        }
    }

    /// Whether a lane without a claim in flight may be due: it got rows since the last deal, or
    /// that deal had no quota left for it.
    pub(crate) fn has_new_work(&self) -> bool {
        self.has_new_work
    }

    pub(crate) fn has_claim_in_flight(&self, trigger: TriggerId) -> bool {
        self.lanes.get(&trigger).is_some_and(Lane::has_claim_in_flight)
    }

    /// A claim of `quota` returned `claimed` rows. Fewer rows than the quota means that the lane
    /// has no more, unless the bytes ended the claim (`is_cut`). Then the next deal begins with the
    /// lane after the last one that got rows, so that lanes with large events do not delay others.
    pub(crate) fn claim_answered(&mut self, quota: LaneQuota, claimed: u32, is_cut: bool, now: Timestamp) {
        let has_more = is_cut || claimed >= quota.quota;
        let lane = self.end_claim(quota);
        lane.next_due = has_more.then_some(now);
        if is_cut {
            // The claim may have left rows below the floor behind.
            lane.look_back_to(quota.look_back);
        } else {
            lane.looked_back_to(quota.look_back);
        }
        if is_cut && claimed > 0 {
            self.last_dealt = quota.trigger;
        }
        self.has_new_work |= is_cut;
    }

    /// A claim failed, and its rows are unknown. The next claim looks at the whole lane.
    pub(crate) fn claim_failed(&mut self, quota: LaneQuota) {
        self.end_claim(quota).look_back_to(Timestamp::EPOCH);
        self.wake(quota.trigger);
    }

    fn end_claim(&mut self, quota: LaneQuota) -> &mut Lane {
        self.rows_requested = self.rows_requested.saturating_sub(quota.quota);
        self.starts_requested = self.starts_requested.saturating_sub(quota.starts);
        let lane = self.lanes.entry(quota.trigger).or_default();
        lane.rows_requested = lane.rows_requested.saturating_sub(quota.quota);
        // The lane got rows while the claim was in flight. The claim may have been applied before
        // they were written.
        self.has_new_work |= lane.is_woken && !lane.has_claim_in_flight();
        lane
    }

    /// A claimed row waits for a permit, at the end or at the front of its lane's queue.
    pub(crate) fn enqueue(&mut self, trigger: TriggerId, delivery: DeliveryId, is_first: bool) {
        let lane = self.lanes.entry(trigger).or_default();
        if is_first {
            lane.queue.push_front(delivery);
        } else {
            lane.queue.push_back(delivery);
        }
        self.queued = self.queued.saturating_add(1);
        if !lane.is_in_turn {
            lane.is_in_turn = true;
            self.turn.push_back(trigger);
        }
    }

    /// Sets whether a lane may claim rows ahead of free permits.
    pub(crate) fn set_claims_ahead(&mut self, trigger: TriggerId, claims_ahead: bool) {
        if claims_ahead {
            self.ahead.insert(trigger);
        } else {
            self.ahead.remove(&trigger);
        }
    }

    /// The next row to start: of the lane that runs the fewest rows, and of such lanes the first in
    /// turn. It counts as running from now on. `is_beyond_reserve` tells whether a lane that
    /// already runs rows may start another one.
    pub(crate) fn next_to_start(&mut self, is_beyond_reserve: bool) -> Option<(TriggerId, DeliveryId)> {
        self.drop_empty_queues();
        let mut next: Option<(u32, usize)> = None;
        for (place, trigger) in self.turn.iter().enumerate() {
            let Some(lane) = self.lanes.get(trigger).filter(|lane| lane.may_start()) else { continue };
            if (lane.running == 0 || is_beyond_reserve) && next.is_none_or(|(fewest, _)| lane.running < fewest) {
                next = Some((lane.running, place));
            }
            if lane.running == 0 {
                break;
            }
        }
        let trigger = self.turn.remove(next?.1)?;
        self.turn.push_back(trigger);
        let lane = self.lanes.entry(trigger).or_default();
        let delivery = lane.queue.pop_front()?;
        lane.running = lane.running.saturating_add(1);
        self.queued = self.queued.saturating_sub(1);
        Some((trigger, delivery))
    }

    /// Takes lanes without a queue off the turn, as far as they are in front. The others get there,
    /// because a lane that starts a row goes to the back.
    fn drop_empty_queues(&mut self) {
        while let Some(trigger) = self.turn.front() {
            let lane = self.lanes.entry(*trigger).or_default();
            if !lane.queue.is_empty() {
                return;
            }
            lane.is_in_turn = false;
            self.turn.pop_front();
        }
    }

    /// Removes a row from the queue of its lane without starting it.
    pub(crate) fn unqueue(&mut self, trigger: TriggerId, delivery: DeliveryId) {
        let Some(lane) = self.lanes.get_mut(&trigger) else { return };
        let before = lane.queue.len();
        lane.queue.retain(|queued| *queued != delivery);
        self.queued = self.queued.saturating_sub((before - lane.queue.len()) as u32);
    }

    /// The lane rests: it gives no rows until [`Self::end_rest`]. Returns its queued rows, which
    /// are no longer queued.
    pub(crate) fn rest(&mut self, trigger: TriggerId) -> VecDeque<DeliveryId> {
        let lane = self.lanes.entry(trigger).or_default();
        lane.is_resting = true;
        let queue = std::mem::take(&mut lane.queue);
        self.queued = self.queued.saturating_sub(queue.len() as u32);
        queue
    }

    pub(crate) fn end_rest(&mut self, trigger: TriggerId) {
        self.lanes.entry(trigger).or_default().is_resting = false;
        self.has_new_work = true;
    }

    /// An execution of the lane ended.
    pub(crate) fn ended(&mut self, trigger: TriggerId) {
        let lane = self.lanes.entry(trigger).or_default();
        lane.running = lane.running.saturating_sub(1);
    }

    /// A settlement of the lane waits for its answer.
    pub(crate) fn settling(&mut self, trigger: TriggerId) {
        let lane = self.lanes.entry(trigger).or_default();
        lane.settling = lane.settling.saturating_add(1);
    }

    /// A settlement of the lane was answered.
    pub(crate) fn settled(&mut self, trigger: TriggerId) {
        let lane = self.lanes.entry(trigger).or_default();
        lane.settled();
        // The lane may have got rows while its slots were taken.
        self.has_new_work |= lane.max_concurrency.is_some() && lane.is_woken && !lane.has_claim_in_flight();
    }

    /// Some settlements of one exchange conflicted, so the window becomes half of `at_once`.
    /// `at_once` is the number of rows that ran at the same time: the conflicts, and the one row
    /// that won. Call it once per exchange.
    pub(crate) fn conflicted(&mut self, trigger: TriggerId, at_once: u32) {
        self.lanes.entry(trigger).or_default().halve_window(at_once);
    }

    /// The rows of all lanes that wait for a permit.
    pub(crate) fn queued(&self) -> u32 {
        self.queued
    }

    /// The loads of all known lanes. Every other lane is empty.
    pub(crate) fn loads(&self, now: Timestamp) -> impl Iterator<Item = LaneLoad> {
        self.lanes.iter().map(move |(trigger, lane)| lane.load(*trigger, now))
    }

    /// The rows of all lanes that claims in flight may return.
    pub(crate) fn rows_requested(&self) -> u32 {
        self.rows_requested
    }

    /// The rows of all lanes that claims in flight may return to start at once.
    pub(crate) fn starts_requested(&self) -> u32 {
        self.starts_requested
    }

    /// The load of one lane. An unknown lane is empty.
    pub(crate) fn load(&self, trigger: TriggerId, now: Timestamp) -> LaneLoad {
        self.lanes.get(&trigger).map_or_else(|| Lane::default().load(trigger, now), |lane| lane.load(trigger, now))
    }

    /// The number of known lanes.
    pub(crate) fn len(&self) -> usize {
        self.lanes.len()
    }

    /// The next due time after `now`. A lane that is already due waits for a permit, not for a
    /// time.
    pub(crate) fn next_due_after(&self, now: Timestamp) -> Option<Timestamp> {
        let ahead = Timestamp(now.0.saturating_add(1));
        self.lanes
            .values()
            .filter(|lane| !lane.is_resting)
            .flat_map(|lane| [lane.next_due.filter(|at| *at >= ahead), lane.retries.range(ahead..).next().copied()])
            .flatten()
            .min()
    }

    fn forget_idle(&mut self) {
        let turn = &mut self.turn;
        self.lanes.retain(|trigger, lane| {
            let keep = !lane.is_idle();
            if !keep && lane.is_in_turn {
                turn.retain(|other| other != trigger);
            }
            keep
        });
    }
}
