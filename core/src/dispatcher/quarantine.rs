//! The quarantine: this dispatcher runs one row that was lost at a time. If the process dies, at
//! most one of them dies with it. So the row that ends its process reaches its limit of losses
//! alone, and the rows that ran beside it do not.
//!
//! Rows that were held ahead when their process died are suspects too, until they have started at
//! once. Several of them run together: if one of them ends the process, all of them were lost, and
//! then they run alone.

use crate::claim::Claim;
use crate::names::TriggerId;
use crate::retry::LOSS_BACKOFF;
use crate::store::{SuspectClaim, SuspectLane};
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

#[derive(Clone, Debug, Default)]
pub(super) struct Quarantine {
    /// The lanes with suspects or expired claims, each with a due time.
    lanes: BTreeMap<TriggerId, Timestamp>,
    /// The lane of the last claim. The next claim begins with the lane after it.
    last: TriggerId,
    /// The rows that a claim in flight may return. 0 without a claim in flight.
    requested: u32,
    /// The suspects that wait for a permit or run.
    held: BTreeSet<Claim>,
}

impl Quarantine {
    /// Applies a discovery. A lane that it does not name has no suspects.
    pub(super) fn discovered(&mut self, found: &[SuspectLane]) {
        self.lanes = found.iter().map(|lane| (lane.trigger, lane.next_due)).collect();
    }

    /// The next claim of suspects, lane by lane in turn. `suspects_max` is the most suspects that a
    /// lane can start at once. `None` if no lane with due suspects can start one, and while other
    /// suspects are claimed.
    pub(super) fn next_claim(&self, now: Timestamp, suspects_max: impl Fn(TriggerId) -> u32) -> Option<SuspectClaim> {
        if self.is_busy() {
            return None;
        }
        let after_last = (Bound::Excluded(self.last), Bound::Unbounded);
        let lanes = self.lanes.range(after_last).chain(self.lanes.range(..=self.last));
        let due = lanes.filter(|(_, due_at)| **due_at <= now).map(|(trigger, _)| *trigger);
        due.map(|trigger| SuspectClaim { trigger, quota: suspects_max(trigger), backoff: LOSS_BACKOFF })
            .find(|claim| claim.quota > 0)
    }

    /// A claim was sent.
    pub(super) fn claim_sent(&mut self, claim: SuspectClaim) {
        self.last = claim.trigger;
        self.requested = claim.quota;
    }

    /// A claim was answered with these suspects. The lane may have more, unless there are none.
    pub(super) fn claim_answered(&mut self, claim: SuspectClaim, suspects: Vec<Claim>) {
        self.requested = 0;
        if suspects.is_empty() {
            self.lanes.remove(&claim.trigger);
        }
        self.held = suspects.into_iter().collect();
    }

    /// A claim failed. It is repeated later.
    pub(super) fn claim_failed(&mut self) {
        self.requested = 0;
    }

    /// A row that was lost runs again.
    pub(super) fn occupy(&mut self, claim: Claim) {
        self.held.insert(claim);
    }

    /// The execution of a claim has ended, or the claim is lost.
    pub(super) fn leave(&mut self, claim: Claim) {
        self.held.remove(&claim);
    }

    /// Whether the claim is of a suspect that waits for a permit or runs.
    pub(super) fn holds(&self, claim: Claim) -> bool {
        self.held.contains(&claim)
    }

    /// Whether suspects are held, or may be held soon.
    pub(super) fn is_busy(&self) -> bool {
        self.requested > 0 || !self.held.is_empty()
    }

    /// The rows that a claim in flight may return.
    pub(super) fn rows_requested(&self) -> u32 {
        self.requested
    }

    /// The next due time after `now`, if a suspect may be claimed then.
    pub(super) fn next_due_after(&self, now: Timestamp) -> Option<Timestamp> {
        if self.is_busy() { None } else { self.lanes.values().copied().filter(|at| *at > now).min() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{DeliveryId, Lease};

    const NOW: Timestamp = Timestamp(1_000);
    const CLAIM: Claim = Claim { delivery: DeliveryId(1), lease: Lease(1) };
    const OTHER: Claim = Claim { delivery: DeliveryId(2), lease: Lease(1) };

    fn quarantine(lanes: &[(i64, i64)]) -> Quarantine {
        let mut quarantine = Quarantine::default();
        let lane = |(trigger, due)| SuspectLane { trigger: TriggerId(trigger), next_due: Timestamp(due) };
        quarantine.discovered(&lanes.iter().copied().map(lane).collect::<Vec<_>>());
        quarantine
    }

    fn claim(quarantine: &mut Quarantine) -> Option<SuspectClaim> {
        let claim = quarantine.next_claim(NOW, |_| 5)?;
        quarantine.claim_sent(claim);
        Some(claim)
    }

    #[test]
    fn the_suspects_of_one_claim_at_a_time_are_held() {
        let mut quarantine = quarantine(&[(1, 1)]);
        let sent = claim(&mut quarantine).unwrap();
        assert_eq!((quarantine.rows_requested(), claim(&mut quarantine)), (5, None), "a claim is in flight");
        quarantine.claim_answered(sent, vec![CLAIM, OTHER]);
        assert_eq!((quarantine.rows_requested(), claim(&mut quarantine)), (0, None), "suspects are held");
        quarantine.leave(OTHER);
        quarantine.leave(Claim { lease: Lease(2), ..CLAIM });
        assert_eq!(claim(&mut quarantine), None, "a suspect is still held");
        quarantine.leave(CLAIM);
        assert_eq!(claim(&mut quarantine), Some(sent), "the lane may have more suspects");
        quarantine.claim_answered(sent, vec![]);
        assert_eq!(claim(&mut quarantine), None, "the lane had no more suspects");
    }

    #[test]
    fn lanes_give_suspects_in_turn_and_a_failed_claim_is_repeated() {
        let mut quarantine = quarantine(&[(1, 1), (2, 1_001), (3, 1_000)]);
        let mut order = Vec::new();
        for _ in 0..3 {
            let sent = claim(&mut quarantine).unwrap();
            order.push(sent.trigger.0);
            quarantine.claim_failed();
        }
        assert_eq!(order, [1, 3, 1]);
        assert_eq!(quarantine.next_due_after(NOW), Some(Timestamp(1_001)));
    }

    #[test]
    fn a_lane_that_can_start_no_suspect_is_passed_over() {
        let quarantine = quarantine(&[(1, 1), (2, 1)]);
        let next = quarantine.next_claim(NOW, |lane| u32::from(lane == TriggerId(2)));
        assert_eq!(next.map(|claim| claim.trigger), Some(TriggerId(2)));
        assert_eq!(quarantine.next_claim(NOW, |_| 0), None);
    }
}
