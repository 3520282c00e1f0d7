//! A claim deals its rows evenly: no lane gets over one row more than another lane that wants as
//! many. The least that a lane wants is its share of the permits, less its held rows and its rows
//! requested by claims in flight. A lane with a limit has at most one claim in flight, because two
//! would wait for each other in the store.

use super::gate::share;
use super::{Checker, Life, Observation, Snapshot};
use crate::app::app;
use crate::probes::{Probe, Probes};
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::{Claim, Delivery, DiscoverReply, ExchangeReply, Fact, LaneQuota, OpId, Reply, Request, TriggerId};

#[derive(Default)]
pub(super) struct Fairness {
    lives: BTreeMap<Life, LifeState>,
    /// The least that each lane wanted when the request was sent.
    wanted_rows: BTreeMap<OpId, BTreeMap<TriggerId, u32>>,
    /// Triggers that want less than their share: they have a limit, or their handlers have
    /// conflicted.
    below_share: BTreeSet<TriggerId>,
}

#[derive(Default)]
struct LifeState {
    permits: u32,
    /// Claimed rows without an answered settlement.
    held: BTreeMap<Claim, TriggerId>,
    quotas_in_flight: BTreeMap<OpId, Vec<LaneQuota>>,
    /// Lanes with a limit, by the last discovery.
    limited: BTreeSet<TriggerId>,
}

impl LifeState {
    fn rows_wanted(&self, lane: TriggerId) -> u32 {
        let held = self.held.values().filter(|trigger| **trigger == lane).count() as u32;
        let quotas = self.quotas_in_flight.values().flatten().filter(|quota| quota.trigger == lane);
        share(self.permits).saturating_sub(held + quotas.map(|quota| quota.quota).sum::<u32>())
    }
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
                let limited = claim.iter().map(|quota| quota.trigger).filter(|lane| state.limited.contains(lane));
                if let Some(lane) = limited.clone().find(is_in_flight) {
                    return Err(format!(
                        "daemon {} has two claims in flight for the lane {lane}, which has a limit",
                        of.daemon
                    ));
                }
                let lanes = claim.iter().map(|quota| quota.trigger).filter(|lane| !self.below_share.contains(lane));
                self.wanted_rows.insert(*op, lanes.map(|lane| (lane, state.rows_wanted(lane))).collect());
                state.quotas_in_flight.insert(*op, claim.clone());
                probes.sometimes(Probe::Overlapped, state.quotas_in_flight.len() > 1);
            }
            Observation::StoreApplied { of, op, request: Request::Exchange { claim, .. }, .. } => {
                let wants = self.wanted_rows.remove(op).unwrap_or_default();
                let most = claim.iter().map(|quota| quota.quota).max().unwrap_or_default();
                for quota in claim {
                    let Some(wants) = wants.get(&quota.trigger) else { continue };
                    probes.sometimes(Probe::Rationed, quota.quota < *wants);
                    if quota.quota < (*wants).min(most - 1) {
                        let (lane, got) = (quota.trigger, quota.quota);
                        let what = format!("the lane {lane} gets {got} rows and wants at least {wants}");
                        return Err(format!("daemon {}: {what}, but another lane gets {most}", of.daemon));
                    }
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
                    let is_held = |row: &Delivery| state.held.keys().any(|claim| claim.delivery == row.id);
                    probes.sometimes(Probe::CameBack, claimed.iter().any(is_held));
                    state.held.extend(claimed.iter().map(|row| (row.claim(), row.trigger_id)));
                }
            }
            Observation::InlineClaim { of, claimed } => {
                let state = self.lives.entry(*of).or_default();
                state.held.extend(claimed.iter().map(|row| (row.claim(), row.trigger_id)));
            }
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
