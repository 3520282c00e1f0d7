//! Who hears of rows asks for them at once: a dispatcher that is told of a lane while it has free permits, a store that
//! answers and one exchange under way at most does not rest before an exchange asks for it. And a second one goes for no
//! other reason than that, or many settlements.

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
    /// Lanes that it was told of, and has not asked for since.
    woken: BTreeSet<TriggerId>,
    /// Exchanges that were not answered.
    asked: BTreeMap<OpId, Vec<LaneQuota>>,
    /// Rows that were claimed, and whose settlement was not answered.
    held: BTreeMap<Claim, TriggerId>,
    /// How long it backs off from the store since it failed, and until when.
    backs_off: Micros,
    backs_off_until: Mono,
}

/// Settlements that are worth an exchange beside another.
const OVERLAP_MIN: usize = 64;

impl LifeState {
    /// A lane that it should have asked for.
    fn forgets(&mut self, view: &View, now: Mono, probes: &mut Probes) -> Option<TriggerId> {
        self.backs_off_until = self.backs_off_until.max(now.plus(std::mem::take(&mut self.backs_off)));
        if self.asked.len() > 1 {
            return None;
        }
        let asked: u32 = self.asked.values().flatten().map(|quota| quota.quota).sum();
        let free = self.permits.saturating_sub(view.running).saturating_sub(asked);
        // Fewer rows than lanes are dealt in turn.
        let has_room = free.min(self.batch_max) > view.lanes;
        if !has_room || now < self.backs_off_until || view.shutting_down {
            // It will ask when something ends.
            self.woken.clear();
            return None;
        }
        probes.sometimes(Probe::WokenMeanwhile, !self.woken.is_empty() && !self.asked.is_empty());
        let is_known = |lane: &TriggerId| {
            self.held.values().any(|held| held == lane) || self.asked.values().flatten().any(|one| one.trigger == *lane)
        };
        self.woken.iter().find(|lane| !is_known(lane)).copied()
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
            Observation::WokenUp { of, lanes } => self.lives.entry(*of).or_default().woken.extend(lanes.iter()),
            Observation::StoreCalled { of, op: Some(op), request: Request::Exchange { claim, settle, .. } } => {
                let state = self.lives.entry(*of).or_default();
                let is_asked = |lane| state.asked.values().flatten().any(|other| other.trigger == lane);
                let is_much = settle.len() >= OVERLAP_MIN.min(state.batch_max as usize);
                if !state.asked.is_empty() && !is_much && claim.iter().all(|quota| is_asked(quota.trigger)) {
                    return Err(format!("daemon {} sends an exchange beside another for nothing", of.daemon));
                }
                claim.iter().for_each(|quota| _ = state.woken.remove(&quota.trigger));
                state.asked.insert(*op, claim.clone());
            }
            Observation::StoreAnswered { of, op, result, accepted: true } => {
                let state = self.lives.entry(*of).or_default();
                state.asked.remove(op);
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
                    Fact::StoreFailed { retry_in, .. } => state.backs_off = state.backs_off.max(*retry_in),
                    _ => {}
                }
            }
            Observation::Idle { of, view, now, .. } => {
                let forgotten = self.lives.entry(*of).or_default().forgets(view, *now, probes);
                if let Some(lane) = forgotten {
                    return Err(format!("daemon {} was told of the lane {lane}, and rests without asking", of.daemon));
                }
            }
            Observation::LifeEnded { of } => _ = self.lives.remove(of),
            _ => {}
        }
        Ok(())
    }
}
