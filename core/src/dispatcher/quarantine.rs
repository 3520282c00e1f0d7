//! The quarantine: this dispatcher runs one suspect at a time. If the process dies, at most one
//! suspect dies with it. So the row that ends its process reaches its limit of losses alone, and
//! the rows that ran beside it do not.

use crate::claim::Claim;
use crate::names::TriggerId;
use crate::retry::LOSS_BACKOFF;
use crate::store::{SuspectClaim, SuspectLane};
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::ops::Bound;

#[derive(Clone, Debug, Default)]
pub(super) struct Quarantine {
    /// The lanes with suspects or expired claims, each with a due time.
    lanes: BTreeMap<TriggerId, Timestamp>,
    /// The lane of the last claim. The next claim begins with the lane after it.
    last: TriggerId,
    state: State,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// A suspect may be claimed.
    #[default]
    Empty,
    /// An exchange that claims a suspect is in flight.
    Claiming,
    /// This suspect waits for a permit or runs.
    Occupied(Claim),
}

impl Quarantine {
    /// Applies a discovery. A lane that it does not name has no suspects.
    pub(super) fn discovered(&mut self, found: &[SuspectLane]) {
        self.lanes = found.iter().map(|lane| (lane.trigger, lane.next_due)).collect();
    }

    /// The next claim of a suspect, lane by lane in turn. `None` if no suspect is due, or while
    /// another one is claimed.
    pub(super) fn next_claim(&self, now: Timestamp) -> Option<SuspectClaim> {
        let State::Empty = self.state else { return None };
        let after_last = (Bound::Excluded(self.last), Bound::Unbounded);
        let mut lanes = self.lanes.range(after_last).chain(self.lanes.range(..=self.last));
        lanes
            .find(|(_, due_at)| **due_at <= now)
            .map(|(trigger, _)| SuspectClaim { trigger: *trigger, backoff: LOSS_BACKOFF })
    }

    /// A claim was sent.
    pub(super) fn claim_sent(&mut self, claim: SuspectClaim) {
        self.last = claim.trigger;
        self.state = State::Claiming;
    }

    /// A claim was answered with a suspect, or the lane has none.
    pub(super) fn claim_answered(&mut self, claim: SuspectClaim, suspect: Option<Claim>) {
        self.state = suspect.map_or(State::Empty, State::Occupied);
        if suspect.is_none() {
            self.lanes.remove(&claim.trigger);
        }
    }

    /// A claim failed. It is repeated later.
    pub(super) fn claim_failed(&mut self) {
        self.state = State::Empty;
    }

    /// A suspect runs again.
    pub(super) fn occupy(&mut self, claim: Claim) {
        self.state = State::Occupied(claim);
    }

    /// The execution of a claim has ended, or the claim is lost. The lane may have more suspects.
    pub(super) fn leave(&mut self, claim: Claim) {
        if matches!(self.state, State::Occupied(other) if other == claim) {
            self.state = State::Empty;
        }
    }

    /// Whether a suspect is held, or may be held soon.
    pub(super) fn is_busy(&self) -> bool {
        !matches!(self.state, State::Empty)
    }

    /// The rows that a claim in flight may return.
    pub(super) fn rows_requested(&self) -> u32 {
        u32::from(matches!(self.state, State::Claiming))
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

    fn quarantine(lanes: &[(i64, i64)]) -> Quarantine {
        let mut quarantine = Quarantine::default();
        let lane = |(trigger, due)| SuspectLane { trigger: TriggerId(trigger), next_due: Timestamp(due) };
        quarantine.discovered(&lanes.iter().copied().map(lane).collect::<Vec<_>>());
        quarantine
    }

    fn claim(quarantine: &mut Quarantine) -> Option<SuspectClaim> {
        let claim = quarantine.next_claim(NOW)?;
        quarantine.claim_sent(claim);
        Some(claim)
    }

    #[test]
    fn one_suspect_at_a_time_is_claimed() {
        let mut quarantine = quarantine(&[(1, 1)]);
        let sent = claim(&mut quarantine).unwrap();
        assert_eq!(claim(&mut quarantine), None, "a claim is in flight");
        quarantine.claim_answered(sent, Some(CLAIM));
        assert_eq!(claim(&mut quarantine), None, "a suspect is held");
        quarantine.leave(Claim { lease: Lease(2), ..CLAIM });
        assert_eq!(claim(&mut quarantine), None, "the suspect is still held");
        quarantine.leave(CLAIM);
        assert_eq!(claim(&mut quarantine), Some(sent), "the lane may have more suspects");
        quarantine.claim_answered(sent, None);
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
}
