//! Running executions never exceed the permits at the last admission, and async executions never
//! use the sync reserve. No lane takes all async permits, so that another lane's first row finds
//! one. A sync call is admitted before its row is written, under the limits of that time.

use super::{Checker, Life, Observation, Snapshot};
use crate::probes::{Probe, Probes};
use std::collections::BTreeMap;
use tidegate_core::{GateLimits, InboxId, OpId, Request, TriggerId};

#[derive(Default)]
pub(super) struct Gate {
    lives: BTreeMap<Life, State>,
    lives_by_op: BTreeMap<OpId, Life>,
}

#[derive(Default)]
struct State {
    limits: Option<GateLimits>,
    /// Running executions with their lanes. `None` for a sync call.
    running: BTreeMap<OpId, Option<TriggerId>>,
    /// The most permits since each caller was admitted.
    admitted: BTreeMap<InboxId, u32>,
}

/// A lane's share: an eighth of the permits, and at least one of several, is left to the other
/// lanes.
pub(super) const fn share(permits: u32) -> u32 {
    match permits {
        0 | 1 => permits,
        2..=15 => permits - 1,
        _ => permits - permits / 8,
    }
}

impl Checker for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn observe(&mut self, observation: &Observation<'_>, _: &Snapshot<'_>, probes: &mut Probes) -> Result<(), String> {
        match observation {
            Observation::Configured { of, gate, .. } => {
                let state = self.lives.entry(*of).or_default();
                state.limits = Some(*gate);
                state.admitted.values_mut().for_each(|permits| *permits = (*permits).max(gate.permits));
                probes.sometimes(Probe::GateLowered, state.running.len() > gate.permits as usize);
            }
            Observation::StoreCalled { of, request: Request::BeginCalls { calls, .. }, .. } => {
                let state = self.lives.entry(*of).or_default();
                let permits = state.limits.unwrap_or_default().permits;
                state.admitted.extend(calls.iter().map(|call| (call.inbox, permits)));
            }
            Observation::ExecutionStarted { of, op, delivery } => {
                let state = self.lives.entry(*of).or_default();
                let limits = state.limits.unwrap_or_default();
                self.lives_by_op.insert(*op, *of);
                if state.running.insert(*op, delivery.reply_to.is_none().then_some(delivery.trigger_id)).is_some() {
                    return Err(format!("{op:?} is used twice"));
                }
                let running = state.running.len() as u32;
                let of_async = state.running.values().flatten().count() as u32;
                let of_lane =
                    state.running.values().flatten().filter(|lane| **lane == delivery.trigger_id).count() as u32;
                let permits = match delivery.reply_to.and_then(|inbox| state.admitted.get(&inbox)) {
                    Some(admitted) => *admitted,
                    None => limits.permits,
                };
                probes.sometimes(Probe::GateFull, running == permits);
                let is_async = delivery.reply_to.is_none();
                probes.sometimes(Probe::ReserveLeft, limits.sync_reserve > 0 && of_async == limits.for_async());
                if is_async && of_lane > share(limits.for_async()) {
                    return Err(format!(
                        "{of_lane} executions of one lane run with {} async permits",
                        limits.for_async()
                    ));
                }
                if running > permits || (is_async && of_async > limits.for_async()) {
                    return Err(format!("{running} executions run, {of_async} of them async, under {limits:?}"));
                }
            }
            Observation::ExecutionEnded { op, .. } => {
                if let Some(state) = self.lives_by_op.remove(op).and_then(|life| self.lives.get_mut(&life)) {
                    state.running.remove(op);
                }
            }
            Observation::LifeEnded { of } => _ = self.lives.remove(of),
            _ => {}
        }
        Ok(())
    }
}
