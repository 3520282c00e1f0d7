//! Running executions never exceed the permits at the last admission. Async executions never use
//! the sync reserve, and sync executions never use the async reserve. A sync call is admitted
//! before its row is written, under the limits of that time.

use super::{Checker, Life, Observation, Snapshot};
use crate::probes::{Probe, Probes};
use std::collections::BTreeMap;
use tidegate_core::{GateLimits, InboxId, OpId, Request};

#[derive(Default)]
pub(super) struct Gate {
    lives: BTreeMap<Life, State>,
    lives_by_op: BTreeMap<OpId, Life>,
}

#[derive(Default)]
struct State {
    limits: Option<GateLimits>,
    /// Running executions. True for an async one.
    running: BTreeMap<OpId, bool>,
    /// The limits that each caller was admitted under: the most permits since then, and the most
    /// permits for sync calls.
    admitted: BTreeMap<InboxId, Admission>,
}

#[derive(Clone, Copy)]
struct Admission {
    permits: u32,
    for_sync: u32,
}

impl Admission {
    fn of(limits: GateLimits) -> Self {
        Self { permits: limits.permits, for_sync: limits.for_sync() }
    }

    /// The larger limits of both.
    fn or(self, other: Self) -> Self {
        Self { permits: self.permits.max(other.permits), for_sync: self.for_sync.max(other.for_sync) }
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
                state.admitted.values_mut().for_each(|admission| *admission = admission.or(Admission::of(*gate)));
                probes.sometimes(Probe::GateLowered, state.running.len() > gate.permits as usize);
            }
            Observation::StoreCalled { of, request: Request::BeginCalls { calls, .. }, .. } => {
                let state = self.lives.entry(*of).or_default();
                let admission = Admission::of(state.limits.unwrap_or_default());
                state.admitted.extend(calls.iter().map(|call| (call.inbox, admission)));
            }
            Observation::ExecutionStarted { of, op, delivery } => {
                let state = self.lives.entry(*of).or_default();
                let limits = state.limits.unwrap_or_default();
                self.lives_by_op.insert(*op, *of);
                let is_async = delivery.reply_to.is_none();
                if state.running.insert(*op, is_async).is_some() {
                    return Err(format!("{op:?} is used twice"));
                }
                let running = state.running.len() as u32;
                let of_async = state.running.values().filter(|is_async| **is_async).count() as u32;
                let admission = delivery.reply_to.and_then(|inbox| state.admitted.get(&inbox)).copied();
                let Admission { permits, for_sync } = admission.unwrap_or(Admission::of(limits));
                let of_sync = running - of_async;
                probes.sometimes(Probe::GateFull, running == permits);
                probes.sometimes(Probe::ReserveLeft, limits.sync_reserve > 0 && of_async == limits.for_async());
                probes.sometimes(Probe::AsyncReserveLeft, limits.async_reserve > 0 && of_sync == limits.for_sync());
                let is_over = if is_async { of_async > limits.for_async() } else { of_sync > for_sync };
                if running > permits || is_over {
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
