//! Lanes: one per trigger with work. They decide who claims how much and who starts next, so that a million waiting
//! rows of one trigger, or a slow handler, delay no other.
//!
//! Three things bound a lane: its **share** of the permits (one lane never takes them all, so that another one's
//! first row finds a permit free), its trigger's `max_concurrency`, and its **window**, which shrinks when the lane's
//! handlers conflict with each other on what they write and grows back while they do not.

mod lane;

use crate::names::{DeliveryId, TriggerId};
use crate::store::LaneQuota;
use crate::time::Timestamp;
use lane::{Lane, WINDOW_OPEN};
use std::collections::{BTreeMap, VecDeque};

/// All lanes that are known to have work, here or in the store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lanes {
    lanes: BTreeMap<TriggerId, Lane>,
    /// The lane that the last deal ended with; the next one begins behind it.
    dealt_last: TriggerId,
    /// Lanes with a queue, in the order in which they may start.
    turn: VecDeque<TriggerId>,
    queued: u32,
    /// Rows that claims have asked for and were not answered yet.
    asked: u32,
    /// A lane that nobody has asked for may have become due since the last offer.
    stirred: bool,
}

/// How much a deal may hand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Rows in all.
    pub(crate) rows: u32,
    /// What one lane may run at once.
    pub(crate) share: u32,
    /// What may wait in the process beyond that, per lane.
    pub(crate) prefetch: u32,
}

/// A wake or a retry whose due time is not kept here is found by discovery.
const RETRIES_KNOWN_MAX: usize = 64;

impl Lanes {
    /// Rows have come into `trigger`'s lane.
    pub(crate) fn wake(&mut self, trigger: TriggerId) {
        let lane = self.lanes.entry(trigger).or_default();
        lane.woken = true;
        self.stirred |= lane.asked == 0;
    }

    /// The store will have a row of `trigger` at `due_at`, because this dispatcher put it there.
    pub(crate) fn put_back(&mut self, trigger: TriggerId, due_at: Timestamp) {
        let retries = &mut self.lanes.entry(trigger).or_default().retries;
        retries.insert(due_at);
        if retries.len() > RETRIES_KNOWN_MAX {
            retries.pop_last();
        }
    }

    /// What a discovery found. Lanes that it does not name have nothing, unless they were woken since.
    pub(crate) fn discovered(&mut self, found: &[crate::store::LaneState]) {
        for lane in self.lanes.values_mut() {
            lane.next_due = None;
        }
        for state in found {
            let lane = self.lanes.entry(state.trigger).or_default();
            lane.next_due = Some(state.next_due);
            lane.max_concurrency = state.max_concurrency;
            lane.last_due = lane.last_due.min(state.next_due);
        }
        self.stirred = true;
        self.forget_idle();
    }

    /// Quotas for the lanes that have due work: each the same, what one does not want goes to the others. It begins
    /// behind the last lane that was asked for, so none is passed over twice in a row.
    pub(crate) fn offer(&mut self, now: Timestamp, budget: Budget) -> Vec<LaneQuota> {
        if budget.rows == 0 {
            return Vec::new();
        }
        let behind = (std::ops::Bound::Excluded(self.dealt_last), std::ops::Bound::Unbounded);
        let mut wanting: Vec<(TriggerId, u32)> = self
            .lanes
            .range(behind)
            .chain(self.lanes.range(..=self.dealt_last))
            .filter(|(_, lane)| lane.is_due(now))
            .map(|(trigger, lane)| (*trigger, lane.wants(budget)))
            .filter(|(_, wants)| *wants > 0)
            .collect();
        self.stirred = wanting.len() > budget.rows as usize;
        wanting.truncate(budget.rows as usize);
        let floor = |trigger| self.lanes.get(&trigger).map_or(Timestamp::EPOCH, |lane| lane.floor(now));
        let quota = |(trigger, quota)| LaneQuota { trigger, quota, floor: floor(trigger) };
        share_out(budget.rows, &wanting).into_iter().map(quota).collect()
    }

    /// A claim of what was offered is sent.
    pub(crate) fn ask(&mut self, now: Timestamp, claim: &[LaneQuota]) {
        for asked in claim {
            let lane = self.lanes.entry(asked.trigger).or_default();
            lane.woken = false;
            if lane.walks_back(now) {
                lane.walked_back = now;
            }
            lane.retries = lane.retries.split_off(&Timestamp(now.0.saturating_add(1)));
            lane.asked = lane.asked.saturating_add(asked.quota);
            self.asked = self.asked.saturating_add(asked.quota);
        }
        if let Some(last) = claim.last() {
            self.dealt_last = last.trigger;
        }
    }

    /// Whether a lane that nobody asks for may be due: it stirred since the last offer, or that had no room for it.
    pub(crate) fn is_stirred(&self) -> bool {
        self.stirred
    }

    /// Whether a claim that is not answered yet asks for rows of this lane.
    pub(crate) fn is_asked(&self, trigger: TriggerId) -> bool {
        self.lanes.get(&trigger).is_some_and(|lane| lane.asked > 0)
    }

    fn answered(&mut self, asked: LaneQuota) -> &mut Lane {
        self.asked = self.asked.saturating_sub(asked.quota);
        let lane = self.lanes.entry(asked.trigger).or_default();
        lane.asked = lane.asked.saturating_sub(asked.quota);
        // Woken while it was asked for: the claim may have been before the rows.
        self.stirred |= lane.woken && lane.asked == 0;
        lane
    }

    /// A claim of `quota` rows brought `claimed`, the last of them due at `last_due`. Fewer than asked for means that
    /// there are no more.
    pub(crate) fn claim_answered(
        &mut self,
        asked: LaneQuota,
        claimed: u32,
        last_due: Option<Timestamp>,
        now: Timestamp,
    ) {
        let lane = self.answered(asked);
        lane.next_due = (claimed >= asked.quota).then_some(now);
        if let Some(last_due) = last_due {
            lane.last_due = lane.last_due.max(last_due);
        }
    }

    /// An emission has claimed a row of `trigger` that is due at `due_at`. It has not looked for older ones; where none is
    /// known to wait, none is expected much below it.
    pub(crate) fn carried(&mut self, trigger: TriggerId, due_at: Timestamp, now: Timestamp) {
        let lane = self.lanes.entry(trigger).or_default();
        if lane.asked == 0 && !lane.is_due(now) {
            lane.last_due = lane.last_due.max(due_at);
        }
        if lane.max_concurrency.is_some() {
            // It may have taken the place that a claim of this dispatcher would have got, and got nothing.
            self.wake(trigger);
        }
    }

    /// It is not known what a claim brought.
    pub(crate) fn claim_failed(&mut self, asked: LaneQuota) {
        self.answered(asked).walked_back = Timestamp::EPOCH;
        self.wake(asked.trigger);
    }

    /// A claimed row waits for a permit; one that has to run again goes first.
    pub(crate) fn enqueue(&mut self, trigger: TriggerId, delivery: DeliveryId, first: bool) {
        let lane = self.lanes.entry(trigger).or_default();
        if first {
            lane.queue.push_front(delivery);
        } else {
            lane.queue.push_back(delivery);
        }
        self.queued = self.queued.saturating_add(1);
        if !lane.in_turn {
            lane.in_turn = true;
            self.turn.push_back(trigger);
        }
    }

    /// The next row to start, lane by lane in turn; it counts as running from now on.
    pub(crate) fn next_to_start(&mut self, share: u32) -> Option<(TriggerId, DeliveryId)> {
        for _ in 0..self.turn.len() {
            let trigger = self.turn.pop_front()?;
            let lane = self.lanes.entry(trigger).or_default();
            if lane.queue.is_empty() {
                lane.in_turn = false;
                continue;
            }
            self.turn.push_back(trigger);
            if !lane.may_start(share) {
                continue;
            }
            let delivery = lane.queue.pop_front()?;
            lane.running = lane.running.saturating_add(1);
            self.queued = self.queued.saturating_sub(1);
            return Some((trigger, delivery));
        }
        None
    }

    /// A row leaves the queue without being started.
    pub(crate) fn unqueue(&mut self, trigger: TriggerId, delivery: DeliveryId) {
        let Some(lane) = self.lanes.get_mut(&trigger) else { return };
        let before = lane.queue.len();
        lane.queue.retain(|queued| *queued != delivery);
        self.queued = self.queued.saturating_sub((before - lane.queue.len()) as u32);
    }

    /// An execution has ended.
    pub(crate) fn ended(&mut self, trigger: TriggerId) {
        let lane = self.lanes.entry(trigger).or_default();
        lane.running = lane.running.saturating_sub(1);
    }

    /// A settlement waits for its answer.
    pub(crate) fn settling(&mut self, trigger: TriggerId) {
        let lane = self.lanes.entry(trigger).or_default();
        lane.settling = lane.settling.saturating_add(1);
    }

    /// A settlement was answered.
    pub(crate) fn settled(&mut self, trigger: TriggerId) {
        let lane = self.lanes.entry(trigger).or_default();
        lane.settling = lane.settling.saturating_sub(1);
        if lane.window == WINDOW_OPEN {
            return;
        }
        lane.calm += 1;
        if lane.calm >= lane.window {
            lane.calm = 0;
            lane.window = lane.window.saturating_add(1);
        }
    }

    /// Some of the lane's settlements conflicted: half as many may run at once. Call it once per answer.
    pub(crate) fn conflicted(&mut self, trigger: TriggerId, at_once: u32) {
        let lane = self.lanes.entry(trigger).or_default();
        lane.window = (lane.window.min(at_once) / 2).max(1);
        lane.calm = 0;
    }

    /// How many rows wait for a permit.
    pub(crate) fn queued(&self) -> u32 {
        self.queued
    }

    /// Lanes, and how many rows that are new could start in each. In others a whole share could. Those of a trigger with a
    /// limit may well wait all the same: the store knows.
    pub(crate) fn room(&self, now: Timestamp, share: u32) -> impl Iterator<Item = (TriggerId, u32)> {
        self.lanes.iter().map(move |(trigger, lane)| (*trigger, lane.room(now, share)))
    }

    /// How many rows are asked for and not answered yet.
    pub(crate) fn asked(&self) -> u32 {
        self.asked
    }

    /// How many lanes are known.
    pub(crate) fn len(&self) -> usize {
        self.lanes.len()
    }

    /// The next due time that still lies ahead. What is due already waits for room, not for time.
    pub(crate) fn next_due_after(&self, now: Timestamp) -> Option<Timestamp> {
        let ahead = Timestamp(now.0.saturating_add(1));
        self.lanes
            .values()
            .flat_map(|lane| [lane.next_due.filter(|at| *at >= ahead), lane.retries.range(ahead..).next().copied()])
            .flatten()
            .min()
    }

    fn forget_idle(&mut self) {
        let turn = &mut self.turn;
        self.lanes.retain(|trigger, lane| {
            let keep = !lane.is_forgettable();
            if !keep && lane.in_turn {
                turn.retain(|other| other != trigger);
            }
            keep
        });
    }
}

/// Hands `rows` out: equal shares, never more than wanted, at least one to each. `wanting` is no longer than `rows`.
fn share_out(rows: u32, wanting: &[(TriggerId, u32)]) -> Vec<(TriggerId, u32)> {
    let mut dealt: Vec<(TriggerId, u32)> = wanting.iter().map(|(trigger, _)| (*trigger, 0)).collect();
    let mut left = rows;
    loop {
        let open = dealt.iter().zip(wanting).filter(|((_, got), (_, wants))| got < wants).count() as u32;
        if open == 0 || left == 0 {
            return dealt;
        }
        let share = (left / open).max(1);
        for ((_, got), (_, wants)) in dealt.iter_mut().zip(wanting) {
            let more = share.min(*wants - *got).min(left);
            *got += more;
            left -= more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::lane::{FLOOR_SLACK, STRAGGLER_SLACK, STRAGGLERS_EVERY};
    use super::*;
    use crate::store::LaneState;
    use crate::time::Micros;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn budget(rows: u32) -> Budget {
        Budget { rows, share: 100, prefetch: 0 }
    }

    fn woken(triggers: &[i64]) -> Lanes {
        let mut lanes = Lanes::default();
        triggers.iter().for_each(|id| lanes.wake(TriggerId(*id)));
        lanes
    }

    fn ask(lanes: &mut Lanes, now: Timestamp, budget: Budget) -> Vec<LaneQuota> {
        let claim = lanes.offer(now, budget);
        lanes.ask(now, &claim);
        claim
    }

    /// Asks, and gets what was there is not said: the claim failed, or brought nothing.
    fn deal(lanes: &mut Lanes, budget: Budget) -> Vec<(i64, u32)> {
        let claim = ask(lanes, NOW, budget);
        claim.iter().for_each(|asked| _ = lanes.answered(*asked));
        claim.iter().map(|quota| (quota.trigger.0, quota.quota)).collect()
    }

    #[test]
    fn equal_shares_and_what_is_left_to_the_first() {
        assert_eq!(deal(&mut woken(&[1, 2, 3]), budget(9)), [(1, 3), (2, 3), (3, 3)]);
        assert_eq!(deal(&mut woken(&[1, 2, 3]), budget(10)), [(1, 4), (2, 3), (3, 3)]);
        assert_eq!(deal(&mut woken(&[1]), budget(9)), [(1, 9)]);
        assert_eq!(deal(&mut woken(&[1]), budget(0)), []);
    }

    #[test]
    fn with_too_little_for_all_each_gets_its_turn() {
        let mut lanes = woken(&[1, 2, 3]);
        let mut order = Vec::new();
        for _ in 0..4 {
            order.extend(deal(&mut lanes, budget(2)).iter().map(|(trigger, _)| *trigger));
            [1, 2, 3].iter().for_each(|id| lanes.wake(TriggerId(*id)));
        }
        assert_eq!(order, [1, 2, 3, 1, 2, 3, 1, 2]);
    }

    #[test]
    fn one_lane_never_takes_more_than_its_share() {
        let mut lanes = woken(&[1]);
        assert_eq!(deal(&mut lanes, Budget { rows: 64, share: 56, prefetch: 0 }), [(1, 56)]);
        for n in 0..56 {
            lanes.enqueue(TriggerId(1), DeliveryId(n), false);
            assert!(lanes.next_to_start(56).is_some());
        }
        lanes.wake(TriggerId(1));
        assert_eq!(deal(&mut lanes, Budget { rows: 8, share: 56, prefetch: 0 }), []);
    }

    #[test]
    fn max_concurrency_counts_what_is_settling() {
        let mut lanes = Lanes::default();
        lanes.discovered(&[LaneState { trigger: TriggerId(1), next_due: NOW, max_concurrency: Some(2) }]);
        assert_eq!(deal(&mut lanes, budget(10)), [(1, 2)]);
        lanes.enqueue(TriggerId(1), DeliveryId(1), false);
        lanes.next_to_start(10).unwrap();
        lanes.ended(TriggerId(1));
        lanes.settling(TriggerId(1));
        assert_eq!(deal(&mut lanes, budget(10)), [(1, 1)]);
        lanes.settled(TriggerId(1));
        assert_eq!(deal(&mut lanes, budget(10)), [(1, 2)]);
    }

    #[test]
    fn starts_go_round_the_lanes() {
        let mut lanes = Lanes::default();
        for (trigger, delivery) in [(1, 10), (1, 11), (1, 12), (2, 20)] {
            lanes.enqueue(TriggerId(trigger), DeliveryId(delivery), false);
        }
        let mut order = Vec::new();
        while let Some((_, delivery)) = lanes.next_to_start(10) {
            order.push(delivery.0);
        }
        assert_eq!(order, [10, 20, 11, 12]);
        assert_eq!(lanes.queued(), 0);
    }

    #[test]
    fn conflicts_halve_the_window_and_calm_opens_it() {
        let mut lanes = Lanes::default();
        for n in 0..8 {
            lanes.enqueue(TriggerId(1), DeliveryId(n), false);
        }
        lanes.conflicted(TriggerId(1), 5);
        assert!(lanes.next_to_start(8).is_some() && lanes.next_to_start(8).is_some());
        assert_eq!(lanes.next_to_start(8), None, "half of five is two");
        lanes.ended(TriggerId(1));
        lanes.settling(TriggerId(1));
        assert_eq!(lanes.next_to_start(8), None, "what is settling counts");
        lanes.settled(TriggerId(1));
        assert!(lanes.next_to_start(8).is_some());
        for _ in 0..3 {
            lanes.settled(TriggerId(1));
        }
        assert!(lanes.next_to_start(8).is_some(), "the window has grown to three");
    }

    #[test]
    fn an_empty_claim_ends_the_lane_unless_it_was_woken_since() {
        let mut lanes = woken(&[1]);
        let asked = ask(&mut lanes, NOW, budget(5))[0];
        lanes.claim_answered(asked, 0, None, NOW);
        assert_eq!(deal(&mut lanes, budget(5)), []);
        lanes.wake(TriggerId(1));
        let asked = ask(&mut lanes, NOW, budget(5))[0];
        lanes.wake(TriggerId(1));
        lanes.claim_answered(asked, 0, None, NOW);
        assert_eq!(deal(&mut lanes, budget(5)), [(1, 5)]);
    }

    /// It may have taken the last place, while a claim of ours asked for it and got nothing.
    #[test]
    fn a_limited_lane_is_asked_for_again_once_an_emission_has_claimed_of_it() {
        for (max_concurrency, again) in [(Some(1), true), (None, false)] {
            let mut lanes = Lanes::default();
            lanes.discovered(&[LaneState { trigger: TriggerId(1), next_due: NOW, max_concurrency }]);
            let asked = ask(&mut lanes, NOW, budget(1))[0];
            lanes.carried(TriggerId(1), NOW, NOW);
            lanes.claim_answered(asked, 0, None, NOW);
            assert_eq!(!deal(&mut lanes, budget(1)).is_empty(), again);
        }
    }

    #[test]
    fn the_floor_follows_what_emissions_claim_unless_something_waits() {
        let due = NOW.minus(Micros::from_secs(60));
        let mut lanes = Lanes::default();
        lanes.carried(TriggerId(1), due, NOW);
        lanes.wake(TriggerId(1));
        let asked = ask(&mut lanes, NOW, budget(5))[0];
        assert_eq!(asked.floor, due.minus(STRAGGLER_SLACK));

        lanes.carried(TriggerId(1), NOW, NOW);
        lanes.claim_answered(asked, 0, None, NOW);
        lanes.wake(TriggerId(1));
        lanes.carried(TriggerId(1), NOW, NOW);
        let asked = ask(&mut lanes, NOW, budget(5))[0];
        assert_eq!(asked.floor, due.minus(FLOOR_SLACK), "a claim was under way, then a row was told of");
    }

    #[test]
    fn the_floor_follows_the_claims_and_discovery_lowers_it() {
        let mut lanes = woken(&[1]);
        let asked = ask(&mut lanes, NOW, budget(1))[0];
        assert_eq!(asked.floor, Timestamp::EPOCH);
        lanes.claim_answered(asked, 1, Some(NOW), NOW);
        assert_eq!(ask(&mut lanes, NOW, budget(1))[0].floor, NOW.minus(FLOOR_SLACK));
        let earlier = NOW.minus(Micros::from_secs(60));
        lanes.discovered(&[LaneState { trigger: TriggerId(1), next_due: earlier, max_concurrency: None }]);
        assert_eq!(ask(&mut lanes, NOW, budget(1))[0].floor, earlier.minus(FLOOR_SLACK));
    }

    #[test]
    fn now_and_then_a_claim_walks_back_for_stragglers_and_again_if_its_answer_is_lost() {
        let mut lanes = woken(&[1]);
        let asked = ask(&mut lanes, NOW, budget(1))[0];
        lanes.claim_answered(asked, 1, Some(NOW), NOW);
        let soon = NOW.plus(STRAGGLERS_EVERY).minus(Micros(1));
        let asked = ask(&mut lanes, soon, budget(1))[0];
        assert_eq!(asked.floor, NOW.minus(FLOOR_SLACK));
        lanes.claim_failed(asked);
        assert_eq!(lanes.offer(soon, budget(1))[0].floor, NOW.minus(STRAGGLER_SLACK));
        let asked = ask(&mut lanes, soon.plus(Micros(1)), budget(1))[0];
        assert_eq!(asked.floor, NOW.minus(STRAGGLER_SLACK));
    }

    #[test]
    fn a_retry_is_known_by_its_time() {
        let mut lanes = Lanes::default();
        let later = NOW.plus(Micros(500));
        lanes.put_back(TriggerId(1), later);
        assert_eq!(deal(&mut lanes, budget(5)), []);
        assert_eq!(lanes.next_due_after(NOW), Some(later));
        assert_eq!(ask(&mut lanes, later, budget(5)).len(), 1);
        assert_eq!(lanes.next_due_after(later), None);
    }

    #[test]
    fn idle_lanes_are_forgotten() {
        let mut lanes = woken(&[1, 2]);
        let asked = ask(&mut lanes, NOW, budget(2));
        asked.iter().for_each(|quota| lanes.claim_answered(*quota, 0, None, NOW));
        lanes.enqueue(TriggerId(2), DeliveryId(1), false);
        lanes.discovered(&[]);
        assert_eq!(lanes.len(), 1);
    }

    proptest! {
        #[test]
        fn a_deal_is_fair_and_complete(wants in prop::collection::vec(1..50_u32, 1..20), rows in 1..200_u32) {
            let mut wanting: Vec<(TriggerId, u32)> =
                wants.iter().enumerate().map(|(n, wants)| (TriggerId(n as i64), *wants)).collect();
            wanting.truncate(rows as usize);
            let dealt = share_out(rows, &wanting);
            let total: u32 = dealt.iter().map(|(_, got)| got).sum();
            let wanted: u32 = wanting.iter().map(|(_, wants)| wants).sum();
            prop_assert_eq!(total, rows.min(wanted), "nothing is left over while somebody wants it");
            let least = dealt.iter().zip(&wanting).filter(|((_, got), (_, wants))| got < wants).map(|((_, got), _)| *got).min();
            if let Some(least) = least {
                prop_assert!(dealt.iter().all(|(_, got)| *got <= least + 1), "{:?} of {:?}", dealt, wanting);
            }
        }
    }
}
