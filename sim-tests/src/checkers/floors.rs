//! A claim takes the first rows of its lane. It passes over no due row that is free beyond the
//! lane's floor or the look-back of the claim, except suspects.

use super::ledger::{Ledger, Restore};
use super::{Checker, Observation, Snapshot};
use crate::probes::{Probe, Probes};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_core::{Delivery, DeliveryId, LaneQuota, Reply, Request, Timestamp, TriggerId};

#[derive(Default)]
pub(super) struct Floors {
    /// The floor of each lane, derived from the applied claims.
    floors: Ledger<BTreeMap<TriggerId, (Timestamp, DeliveryId)>>,
}

impl Floors {
    fn check_lane(
        &mut self,
        quota: &LaneQuota,
        claimed: &[Arc<Delivery>],
        snapshot: &Snapshot<'_>,
        probes: &mut Probes,
    ) -> Result<(), String> {
        let (lane, now, first) = (quota.trigger, snapshot.store.now(), DeliveryId(i64::MIN));
        if snapshot.store.is_paused(lane) {
            return Ok(());
        }
        let floor = self.floors.get(&lane).copied().unwrap_or((Timestamp(i64::MIN), first));
        let start = floor.min((quota.look_back, first));
        let taken: Vec<_> = claimed.iter().filter(|row| row.trigger_id == lane).collect();
        let last = taken.last().map(|row| (row.due_at, row.id));
        // The limit may have cut the quota of such a lane.
        let has_limit = snapshot.store.is_limited(lane);
        let is_full = taken.len() >= quota.quota as usize;
        let due = snapshot.store.lane(lane).filter(|row| row.due_at <= now && row.waits());
        for row in due {
            let key = (row.due_at, row.id);
            let is_behind = last.is_some_and(|last| key < last);
            if key >= start && (is_behind || !(is_full || has_limit)) {
                return Err(format!("a claim of lane {lane} passes over the row {} at {:?}", row.id, row.due_at));
            }
        }
        if let Some(last) = last {
            probes.sometimes(Probe::Straggler, last < floor);
            self.floors.insert(lane, if is_full { last } else { floor.max(last) });
        }
        Ok(())
    }
}

impl Checker for Floors {
    fn name(&self) -> &'static str {
        "floors"
    }

    fn ledgers(&mut self) -> Vec<&mut dyn Restore> {
        vec![&mut self.floors]
    }

    fn observe(
        &mut self,
        observation: &Observation<'_>,
        snapshot: &Snapshot<'_>,
        probes: &mut Probes,
    ) -> Result<(), String> {
        let Observation::StoreApplied { op, request, reply, .. } = observation else { return Ok(()) };
        let (Request::Exchange { claim, .. }, Reply::Exchange(reply)) = (request, reply) else { return Ok(()) };
        let (claimed, _) = reply.split_claimed();
        // An inline claim does not search its lanes.
        let quotas = if op.seq == u64::MAX { &[] } else { claim.as_slice() };
        quotas.iter().try_for_each(|quota| self.check_lane(quota, claimed, snapshot, probes))
    }
}
