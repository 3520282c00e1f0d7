//! The rows that a claim starts at once find a permit: as many rows as the free permits that no
//! other exchange in flight has, and no more than the share of their lane. A lane whose last row
//! permits one loss holds no rows ahead.

use super::turns::reserve;
use super::{Checker, Life, Observation, Snapshot};
use crate::probes::{Probe, Probes};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tidegate_core::{Delivery, ExchangeReply, OpId, Reply, Request, TriggerId};

#[derive(Default)]
pub(super) struct Starts {
    lives: BTreeMap<Life, LifeState>,
    executions: BTreeMap<OpId, Life>,
}

#[derive(Default)]
struct LifeState {
    permits: u32,
    running: BTreeSet<OpId>,
    exchanges: BTreeMap<OpId, Exchange>,
    /// Lanes whose last claimed row may be lost more than once.
    claims_ahead: BTreeSet<TriggerId>,
}

/// An exchange in flight.
struct Exchange {
    /// The rows that are to start at once.
    starts: u32,
    /// The free permits that no other exchange had.
    starts_max: u32,
    /// The permits that one lane may use: all but those for lanes that run nothing.
    share: u32,
    /// Its lanes that may hold rows ahead.
    claims_ahead: BTreeSet<TriggerId>,
}

impl LifeState {
    fn claimed(&mut self, rows: &[Arc<Delivery>]) {
        for row in rows {
            if row.policy.max_lost() > 1 {
                self.claims_ahead.insert(row.trigger_id);
            } else {
                self.claims_ahead.remove(&row.trigger_id);
            }
        }
    }

    fn sent(&mut self, op: OpId, request: &Request) {
        let Request::Exchange { claim, .. } = request else { return };
        let free = self.permits.saturating_sub(self.running.len() as u32);
        let promised = self.exchanges.values().map(|other| other.starts).sum::<u32>();
        let lanes = claim.iter().map(|quota| quota.trigger);
        let claims_ahead = lanes.filter(|lane| self.claims_ahead.contains(lane)).collect();
        let starts_max = free.saturating_sub(promised);
        let share = self.permits - reserve(self.permits);
        self.exchanges.insert(op, Exchange { starts: starts(request), starts_max, share, claims_ahead });
    }
}

impl Exchange {
    fn check(&self, request: &Request, probes: &mut Probes) -> Result<(), String> {
        let Request::Exchange { claim, .. } = request else { return Ok(()) };
        if starts(request) > self.starts_max {
            return Err(format!("starts {} rows at once, at most {} find a permit", starts(request), self.starts_max));
        }
        for quota in claim {
            if quota.starts > self.share {
                return Err(format!("starts {} rows of lane {}, at most {}", quota.starts, quota.trigger, self.share));
            }
            probes.sometimes(Probe::HeldAhead, quota.starts < quota.quota);
            if quota.starts > quota.quota {
                return Err(format!("starts more rows of lane {} than it claims", quota.trigger));
            }
            if quota.starts < quota.quota && !self.claims_ahead.contains(&quota.trigger) {
                return Err(format!("holds rows of lane {} ahead, where one loss is a dead letter", quota.trigger));
            }
        }
        Ok(())
    }
}

/// The rows of an exchange that are to start at once.
fn starts(request: &Request) -> u32 {
    let Request::Exchange { claim, suspect, .. } = request else { return 0 };
    claim.iter().map(|quota| quota.starts).sum::<u32>() + suspect.map_or(0, |claim| claim.quota)
}

impl Checker for Starts {
    fn name(&self) -> &'static str {
        "starts"
    }

    fn observe(&mut self, observation: &Observation<'_>, _: &Snapshot<'_>, probes: &mut Probes) -> Result<(), String> {
        match observation {
            Observation::Configured { of, gate, .. } => self.lives.entry(*of).or_default().permits = gate.for_async(),
            Observation::StoreCalled { of, op: Some(op), request } => {
                self.lives.entry(*of).or_default().sent(*op, request);
            }
            Observation::StoreApplied { of, op, request, .. } => {
                if let Some(exchange) = self.lives.get(of).and_then(|state| state.exchanges.get(op)) {
                    let checked = exchange.check(request, probes);
                    return checked.map_err(|what| format!("daemon {} {what}", of.daemon));
                }
            }
            Observation::StoreAnswered { of, op, result, accepted: true } => {
                let state = self.lives.entry(*of).or_default();
                state.exchanges.remove(op);
                if let Ok(Reply::Exchange(ExchangeReply { claimed, .. })) = result {
                    state.claimed(claimed);
                }
            }
            Observation::ExecutionStarted { of, op, delivery } if delivery.reply_to.is_none() => {
                self.executions.insert(*op, *of);
                self.lives.entry(*of).or_default().running.insert(*op);
            }
            Observation::ExecutionEnded { op, .. } => {
                if let Some(state) = self.executions.remove(op).and_then(|of| self.lives.get_mut(&of)) {
                    state.running.remove(op);
                }
            }
            Observation::InlineClaim { of, claimed } => self.lives.entry(*of).or_default().claimed(claimed),
            Observation::LifeEnded { of } => _ = self.lives.remove(of),
            _ => {}
        }
        Ok(())
    }
}
