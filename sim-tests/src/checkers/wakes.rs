//! A dispatcher with free permits, a working store and at most one exchange in flight claims from a
//! woken lane before it becomes idle. A second exchange is sent only for a lane that the first did
//! not request, or for many settlements.

use super::{Checker, Life, Observation, Snapshot};
use crate::probes::{Probe, Probes};
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::{Claim, ExchangeReply, Fact, LaneQuota, Micros, Mono, OpId, Reply, Request, TriggerId, View};

#[derive(Default)]
pub(super) struct Wakes {
    lives: BTreeMap<Life, LifeState>,
}

#[derive(Default)]
struct LifeState {
    permits: u32,
    batch_max: u32,
    /// Lanes that were woken and not requested since.
    woken_lanes: BTreeSet<TriggerId>,
    quotas_in_flight: BTreeMap<OpId, Vec<LaneQuota>>,
    /// The suspects that exchanges in flight may return.
    suspects_in_flight: BTreeMap<OpId, u32>,
    /// Claimed rows without an answered settlement.
    held: BTreeMap<Claim, TriggerId>,
    /// Lanes whose handlers did not start since the last wait, and the times at which the rests of
    /// such lanes have ended.
    refused_lanes: BTreeSet<TriggerId>,
    rests: BTreeMap<TriggerId, Mono>,
    /// The back-off after a store failure, and its end.
    backs_off: Micros,
    backs_off_until: Mono,
}

/// The number of settlements that justify a second exchange.
const OVERLAP_MIN: usize = 64;
/// The longest rest of a lane whose handlers do not start.
const REST_MAX: Micros = Micros::from_secs(4);

impl LifeState {
    /// Returns a woken lane that the dispatcher should have requested.
    fn unrequested_lane(&mut self, view: &View, now: Mono, probes: &mut Probes) -> Option<TriggerId> {
        self.backs_off_until = self.backs_off_until.max(now.plus(std::mem::take(&mut self.backs_off)));
        let rests_until = now.plus(REST_MAX);
        self.rests.extend(std::mem::take(&mut self.refused_lanes).into_iter().map(|lane| (lane, rests_until)));
        if self.quotas_in_flight.len() > 1 {
            return None;
        }
        let requested: u32 = self.quotas_in_flight.values().flatten().map(|quota| quota.quota).sum();
        let requested = requested + self.suspects_in_flight.values().sum::<u32>() + view.inline_rows;
        let free = self.permits.saturating_sub(view.running).saturating_sub(requested);
        // With fewer rows than lanes, the lanes take turns.
        let has_room = free.min(self.batch_max) > view.lanes;
        if !has_room || now < self.backs_off_until || view.shutting_down {
            // The dispatcher claims when an execution ends.
            self.woken_lanes.clear();
            return None;
        }
        probes.sometimes(Probe::WokenMeanwhile, !self.woken_lanes.is_empty() && !self.quotas_in_flight.is_empty());
        let is_known = |lane: &TriggerId| {
            self.held.values().any(|held| held == lane)
                || self.rests.get(lane).is_some_and(|until| now < *until)
                || self.quotas_in_flight.values().flatten().any(|one| one.trigger == *lane)
        };
        self.woken_lanes.iter().find(|lane| !is_known(lane)).copied()
    }
}

impl Checker for Wakes {
    fn name(&self) -> &'static str {
        "wakes"
    }

    fn observe(&mut self, observation: &Observation<'_>, _: &Snapshot<'_>, probes: &mut Probes) -> Result<(), String> {
        match observation {
            Observation::Configured { of, gate, batch_max } => {
                let state = self.lives.entry(*of).or_default();
                state.permits = gate.for_async();
                state.batch_max = batch_max.unwrap_or(state.batch_max);
            }
            Observation::WokenUp { of, lanes } => self.lives.entry(*of).or_default().woken_lanes.extend(lanes.iter()),
            Observation::StoreCalled {
                of,
                op: Some(op),
                request: Request::Exchange { claim, settle, suspect, .. },
            } => {
                let state = self.lives.entry(*of).or_default();
                let is_in_flight = |lane| state.quotas_in_flight.values().flatten().any(|other| other.trigger == lane);
                let has_many_settlements = settle.len() >= OVERLAP_MIN.min(state.batch_max as usize);
                if !state.quotas_in_flight.is_empty()
                    && !has_many_settlements
                    && claim.iter().all(|quota| is_in_flight(quota.trigger))
                {
                    return Err(format!("daemon {} sends a second exchange without a reason", of.daemon));
                }
                claim.iter().for_each(|quota| _ = state.woken_lanes.remove(&quota.trigger));
                state.quotas_in_flight.insert(*op, claim.clone());
                state.suspects_in_flight.insert(*op, suspect.map_or(0, |claim| claim.quota));
            }
            Observation::StoreAnswered { of, op, result, accepted: true } => {
                let state = self.lives.entry(*of).or_default();
                state.quotas_in_flight.remove(op);
                state.suspects_in_flight.remove(op);
                if let Ok(Reply::Exchange(ExchangeReply { claimed, .. })) = result {
                    state.held.extend(claimed.iter().map(|row| (row.claim(), row.trigger_id)));
                }
            }
            Observation::InlineClaim { of, claimed } => {
                let state = self.lives.entry(*of).or_default();
                state.held.extend(claimed.iter().map(|row| (row.claim(), row.trigger_id)));
            }
            Observation::Fact { of, fact } => {
                let state = self.lives.entry(*of).or_default();
                match fact {
                    Fact::DeliverySettled { delivery, .. }
                    | Fact::SettlementFenced { delivery, .. }
                    | Fact::LeaseLost { delivery } => {
                        state.held.remove(&delivery.claim());
                    }
                    Fact::HandlerNotStarted { delivery, .. } => _ = state.refused_lanes.insert(delivery.trigger_id),
                    Fact::StoreFailed { retry_in, .. } => state.backs_off = state.backs_off.max(*retry_in),
                    _ => {}
                }
            }
            Observation::Idle { of, view, now, .. } => {
                let unrequested = self.lives.entry(*of).or_default().unrequested_lane(view, *now, probes);
                if let Some(lane) = unrequested {
                    return Err(format!(
                        "daemon {} was woken for the lane {lane} but becomes idle without a claim",
                        of.daemon
                    ));
                }
            }
            Observation::LifeEnded { of } => _ = self.lives.remove(of),
            _ => {}
        }
        Ok(())
    }
}
