//! A permit goes to the lane that runs the fewest rows. The last permits go only to lanes that run
//! nothing: an eighth of the permits, and at least one of several. So any number of busy lanes
//! leaves a permit for the first row of another lane.

use super::{Checker, Life, Observation, Snapshot};
use crate::app::{MAX_DEPTH, QUEUE_WAIT};
use crate::probes::{Probe, Probes};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tidegate_core::{
    Claim, Delivery, DeliveryId, ExchangeReply, Fact, GateLimits, Lease, Mono, OpId, Reply, Request, Timestamp,
    TriggerId, refuse,
};

#[derive(Default)]
pub(super) struct Turns {
    lives: BTreeMap<Life, LifeState>,
    lives_by_op: BTreeMap<OpId, Life>,
    /// Lanes whose handlers have conflicted or did not start. They may start fewer rows than other
    /// lanes.
    held_back: BTreeSet<TriggerId>,
}

#[derive(Default)]
struct LifeState {
    limits: Option<GateLimits>,
    now: Mono,
    /// The lanes of the running executions. `None` for a sync call.
    running: BTreeMap<OpId, Option<TriggerId>>,
    /// The end of the leases that each exchange in flight requests.
    leased_until: BTreeMap<OpId, Mono>,
    /// Claimed rows that may start as soon as they have a permit.
    waiting: BTreeMap<DeliveryId, WaitingRow>,
}

#[derive(Clone, Copy)]
struct WaitingRow {
    lease: Lease,
    lane: TriggerId,
    /// From this time on the dispatcher may defer or release the row.
    until: Mono,
}

/// The permits that only lanes which run nothing may use.
pub(super) const fn reserve(permits: u32) -> u32 {
    match permits {
        0 | 1 => 0,
        2..=15 => 1,
        _ => permits / 8,
    }
}

/// Whether the dispatcher executes this row if its lease is valid.
fn is_startable(row: &Delivery) -> bool {
    let may_be_too_old = (row.attempt > 1 || row.lost > 0) && row.policy.max_age().is_some();
    !may_be_too_old && refuse(row, MAX_DEPTH, Timestamp::EPOCH).is_none()
}

impl LifeState {
    fn hold(&mut self, claimed: &[Arc<Delivery>], leased_until: Mono) {
        let until = leased_until.min(self.now.plus(QUEUE_WAIT));
        for row in claimed {
            let is_later = self.waiting.get(&row.id).is_none_or(|other| other.lease < row.lease);
            if is_later && is_startable(row) {
                self.waiting.insert(row.id, WaitingRow { lease: row.lease, lane: row.trigger_id, until });
            }
        }
    }

    fn forget(&mut self, claim: Claim) {
        if self.waiting.get(&claim.delivery).is_some_and(|row| row.lease == claim.lease) {
            self.waiting.remove(&claim.delivery);
        }
    }

    fn runs(&self, lane: TriggerId) -> u32 {
        self.running.values().flatten().filter(|other| **other == lane).count() as u32
    }

    /// Returns a message if the row should not have started now. It is not in `running` yet.
    fn objection(&self, row: &Delivery, held_back: &BTreeSet<TriggerId>, probes: &mut Probes) -> Option<String> {
        let (lane, runs) = (row.trigger_id, self.runs(row.trigger_id));
        let limits = self.limits.unwrap_or_default();
        let of_async = self.running.values().flatten().count() as u32;
        let of_sync = self.running.len() as u32 - of_async;
        let permits = limits.for_async().min(limits.permits.saturating_sub(of_sync));
        let is_reserved = of_async + 1 + reserve(permits) > permits;
        probes.sometimes(Probe::LaneReserveUsed, runs == 0 && is_reserved && of_async > 0);
        if runs > 0 && is_reserved {
            return Some(format!(
                "starts row {} of lane {lane} beside {of_async} others with {permits} permits",
                runs + 1
            ));
        }
        let waits =
            |other: &&WaitingRow| other.lane != lane && self.now < other.until && !held_back.contains(&other.lane);
        let poorer = self.waiting.values().filter(waits).map(|other| (self.runs(other.lane), other.lane)).min();
        match poorer {
            Some((others, other)) if others < runs => Some(format!(
                "starts row {} of lane {lane} while a row of lane {other} waits, which runs {others}",
                runs + 1
            )),
            _ => None,
        }
    }
}

impl Checker for Turns {
    fn name(&self) -> &'static str {
        "turns"
    }

    fn observe(&mut self, observation: &Observation<'_>, _: &Snapshot<'_>, probes: &mut Probes) -> Result<(), String> {
        match observation {
            Observation::Configured { of, gate, .. } => self.lives.entry(*of).or_default().limits = Some(*gate),
            Observation::InputHandled { of, now, .. } => self.lives.entry(*of).or_default().now = *now,
            Observation::StoreCalled { of, op: Some(op), request: Request::Exchange { settle, lease_for, .. } } => {
                let state = self.lives.entry(*of).or_default();
                state.leased_until.insert(*op, state.now.plus(*lease_for));
                settle.iter().for_each(|one| state.forget(one.claim));
            }
            Observation::StoreAnswered { of, op, result, accepted: true } => {
                let state = self.lives.entry(*of).or_default();
                let leased_until = state.leased_until.remove(op).unwrap_or_default();
                if let Ok(Reply::Exchange(ExchangeReply { claimed, .. })) = result {
                    state.hold(claimed, leased_until);
                }
            }
            Observation::Fact {
                fact: Fact::EffectsConflicted { delivery, .. } | Fact::HandlerNotStarted { delivery, .. },
                ..
            } => {
                self.held_back.insert(delivery.trigger_id);
            }
            Observation::Fact { of, fact: Fact::LeaseLost { delivery } } => {
                self.lives.entry(*of).or_default().forget(delivery.claim());
            }
            Observation::ExecutionStarted { of, op, delivery } => {
                let state = self.lives.entry(*of).or_default();
                let is_async = delivery.reply_to.is_none();
                state.forget(delivery.claim());
                let objection = if is_async { state.objection(delivery, &self.held_back, probes) } else { None };
                if let Some(what) = objection {
                    return Err(format!("daemon {} {what}", of.daemon));
                }
                state.running.insert(*op, is_async.then_some(delivery.trigger_id));
                self.lives_by_op.insert(*op, *of);
            }
            Observation::ExecutionEnded { op, .. } => {
                if let Some(state) = self.lives_by_op.remove(op).and_then(|of| self.lives.get_mut(&of)) {
                    state.running.remove(op);
                }
            }
            Observation::LifeEnded { of } => _ = self.lives.remove(of),
            _ => {}
        }
        Ok(())
    }
}
