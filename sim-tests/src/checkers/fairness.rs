//! A claim deals its rows so that the lanes which have the fewest get the next ones: no lane gets
//! over one row more than another lane that has fewer rows and wants more. The least that a lane
//! wants is its share of the permits, less its held rows and its rows requested by claims in
//! flight. A lane gets no rows to wait until one of its rows is held, and never if one loss makes a
//! dead letter. A lane with a limit has at most one claim in flight, because two would wait for
//! each other in the store.

use super::turns::reserve;
use super::{Checker, Life, Observation, Snapshot};
use crate::app::app;
use crate::probes::{Probe, Probes};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tidegate_core::{Claim, Delivery, DiscoverReply, ExchangeReply, Fact, LaneQuota, OpId, Reply, Request, TriggerId};

#[derive(Default)]
pub(super) struct Fairness {
    lives: BTreeMap<Life, LifeState>,
    /// The rows of each lane when the request was sent, and the least that it wanted.
    wants: BTreeMap<OpId, BTreeMap<TriggerId, LaneWants>>,
    lives_by_op: BTreeMap<OpId, (Life, Claim)>,
    /// Triggers that want less than their share: they have a limit, or their handlers have
    /// conflicted.
    below_share: BTreeSet<TriggerId>,
}

#[derive(Default)]
struct LifeState {
    permits: u32,
    /// Claimed rows without an answered settlement.
    held: BTreeMap<Claim, TriggerId>,
    /// Those of them that run.
    running: BTreeMap<Claim, TriggerId>,
    quotas_in_flight: BTreeMap<OpId, Vec<LaneQuota>>,
    /// Lanes with a limit, by the last discovery.
    limited: BTreeSet<TriggerId>,
    /// Lanes whose last claimed row may be lost more than once.
    claims_ahead: BTreeSet<TriggerId>,
}

#[derive(Clone, Copy)]
struct LaneWants {
    /// Its rows that run or are requested: the least that the lane has.
    has_min: u32,
    /// Its rows that are held or are requested: the most that the lane has.
    has_max: u32,
    /// The least that the lane wants.
    rows: u32,
}

impl LifeState {
    fn hold(&mut self, claimed: &[Arc<Delivery>]) {
        for row in claimed {
            self.held.insert(row.claim(), row.trigger_id);
            if row.policy.max_lost() > 1 {
                self.claims_ahead.insert(row.trigger_id);
            } else {
                self.claims_ahead.remove(&row.trigger_id);
            }
        }
    }

    fn wants(&self, lane: TriggerId) -> LaneWants {
        let of = |rows: &BTreeMap<Claim, TriggerId>| rows.values().filter(|trigger| **trigger == lane).count() as u32;
        let quotas = self.quotas_in_flight.values().flatten().filter(|quota| quota.trigger == lane);
        let requested = quotas.map(|quota| quota.quota).sum::<u32>();
        let (has_min, has_max) = (of(&self.running) + requested, of(&self.held) + requested);
        LaneWants { has_min, has_max, rows: (self.permits - reserve(self.permits)).saturating_sub(has_max) }
    }
}

/// Returns a message if the quotas are not fair.
fn unfair_quota(claim: &[LaneQuota], wants: &BTreeMap<TriggerId, LaneWants>, probes: &mut Probes) -> Option<String> {
    let lanes = || claim.iter().filter_map(|quota| Some((quota, wants.get(&quota.trigger)?)));
    for (poor, wants) in lanes() {
        probes.sometimes(Probe::Rationed, poor.quota < wants.rows);
        let has = wants.has_max + poor.quota;
        let is_richer = |(rich, wants): &(&LaneQuota, &LaneWants)| {
            rich.quota > poor.quota + 1 && wants.has_min + rich.quota > has + 2
        };
        if let Some((rich, _)) = lanes().find(is_richer).filter(|_| poor.quota < wants.rows) {
            return Some(format!(
                "the lane {} gets {} rows, has {} and wants {} more, but the lane {} gets {}",
                poor.trigger, poor.quota, wants.has_max, wants.rows, rich.trigger, rich.quota
            ));
        }
    }
    None
}

impl Checker for Fairness {
    fn name(&self) -> &'static str {
        "fairness"
    }

    fn observe(
        &mut self,
        observation: &Observation<'_>,
        snapshot: &Snapshot<'_>,
        probes: &mut Probes,
    ) -> Result<(), String> {
        match observation {
            Observation::Configured { of, gate, .. } => {
                self.lives.entry(*of).or_default().permits = gate.for_async();
                if self.below_share.is_empty() {
                    let limited = snapshot.store.triggers_of(&app()).into_iter();
                    self.below_share.extend(limited.filter(|one| one.spec.max_concurrency.is_some()).map(|one| one.id));
                }
            }
            Observation::StoreCalled { of, op: Some(op), request: Request::Exchange { claim, .. } } => {
                let state = self.lives.entry(*of).or_default();
                let is_in_flight =
                    |lane: &TriggerId| state.quotas_in_flight.values().flatten().any(|other| other.trigger == *lane);
                let mut limited = claim.iter().map(|quota| quota.trigger).filter(|lane| state.limited.contains(lane));
                if let Some(lane) = limited.find(is_in_flight) {
                    return Err(format!(
                        "daemon {} has two claims in flight for the lane {lane}, which has a limit",
                        of.daemon
                    ));
                }
                let lanes = claim.iter().map(|quota| quota.trigger);
                let lanes = lanes.filter(|lane| !self.below_share.contains(lane) && state.claims_ahead.contains(lane));
                self.wants.insert(*op, lanes.map(|lane| (lane, state.wants(lane))).collect());
                state.quotas_in_flight.insert(*op, claim.clone());
                probes.sometimes(Probe::Overlapped, state.quotas_in_flight.len() > 1);
            }
            Observation::StoreApplied { of, op, request: Request::Exchange { claim, .. }, .. } => {
                let wants = self.wants.remove(op).unwrap_or_default();
                if let Some(what) = unfair_quota(claim, &wants, probes) {
                    return Err(format!("daemon {}: {what}", of.daemon));
                }
            }
            Observation::ExecutionStarted { of, op, delivery } => {
                self.lives.entry(*of).or_default().running.insert(delivery.claim(), delivery.trigger_id);
                self.lives_by_op.insert(*op, (*of, delivery.claim()));
            }
            Observation::ExecutionEnded { op, .. } => {
                if let Some((of, claim)) = self.lives_by_op.remove(op) {
                    self.lives.entry(of).or_default().running.remove(&claim);
                }
            }
            Observation::StoreAnswered { of, op, result, accepted: true } => {
                let state = self.lives.entry(*of).or_default();
                state.quotas_in_flight.remove(op);
                if let Ok(Reply::Discover(DiscoverReply { lanes, .. })) = result {
                    let limited = lanes.iter().filter(|lane| lane.max_concurrency.is_some());
                    state.limited = limited.map(|lane| lane.trigger).collect();
                }
                if let Ok(Reply::Exchange(ExchangeReply { claimed, .. })) = result {
                    let is_held = |row: &Arc<Delivery>| state.held.keys().any(|claim| claim.delivery == row.id);
                    probes.sometimes(Probe::CameBack, claimed.iter().any(is_held));
                    state.hold(claimed);
                }
            }
            Observation::InlineClaim { of, claimed } => self.lives.entry(*of).or_default().hold(claimed),
            Observation::Fact { of, fact } => {
                if let Fact::EffectsConflicted { delivery, .. } = fact {
                    self.below_share.insert(delivery.trigger_id);
                }
                if let Fact::DeliverySettled { delivery, .. }
                | Fact::SettlementFenced { delivery, .. }
                | Fact::LeaseLost { delivery } = fact
                {
                    self.lives.entry(*of).or_default().held.remove(&delivery.claim());
                }
            }
            Observation::LifeEnded { of } => _ = self.lives.remove(of),
            _ => {}
        }
        Ok(())
    }
}
