//! A permit for sync calls goes to the app that holds the fewest. The last permits go only to apps
//! without a running call: an eighth of the permits, and at least one of several. So the calls of
//! one app do not delay the calls of another app.

use super::turns::reserve;
use super::{Checker, InputKind, Life, Observation, Snapshot};
use crate::app::app_of_call;
use crate::probes::{Probe, Probes};
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::{AppName, Disposition, Fact, Fate, GateLimits, InboxId, OpId, Request, SyncCall};

#[derive(Default)]
pub(super) struct Shares {
    lives: BTreeMap<Life, LifeState>,
    lives_by_op: BTreeMap<OpId, Life>,
}

#[derive(Default)]
struct LifeState {
    limits: Option<GateLimits>,
    /// The callers of the running executions. `None` for an async one.
    running: BTreeMap<OpId, Option<InboxId>>,
    /// Calls that have a permit while their rows are written.
    beginning: BTreeMap<OpId, Vec<InboxId>>,
    waiting: BTreeSet<InboxId>,
}

impl LifeState {
    fn with_permit(&self) -> impl Iterator<Item = InboxId> {
        self.running.values().flatten().chain(self.beginning.values().flatten()).copied()
    }

    fn permits_of(&self, app: &AppName) -> usize {
        self.with_permit().filter(|inbox| app_of_call(*inbox) == *app).count()
    }

    /// Gives a permit to each call. Returns a message if a call should not have got one.
    fn begin(&mut self, op: OpId, calls: &[SyncCall], probes: &mut Probes) -> Option<String> {
        self.beginning.insert(op, Vec::new());
        let objections: Vec<String> = calls.iter().filter_map(|call| self.begin_one(op, call.inbox, probes)).collect();
        objections.into_iter().next()
    }

    fn begin_one(&mut self, op: OpId, inbox: InboxId, probes: &mut Probes) -> Option<String> {
        self.waiting.remove(&inbox);
        let app = app_of_call(inbox);
        let (of_app, of_sync) = (self.permits_of(&app), self.with_permit().count());
        let of_async = self.running.values().filter(|caller| caller.is_none()).count() as u32;
        let limits = self.limits.unwrap_or_default();
        let permits = limits.for_sync().min(limits.permits.saturating_sub(of_async));
        let is_reserved = of_sync as u32 + 1 + reserve(permits) > permits;
        let poorer = self.waiting.iter().find(|other| self.permits_of(&app_of_call(**other)) < of_app).copied();
        self.beginning.entry(op).or_default().push(inbox);
        probes.sometimes(Probe::AppReserveUsed, of_app == 0 && of_sync > 0 && is_reserved);
        if of_app > 0 && is_reserved {
            return Some(format!(
                "begins call {} of the app {app} beside {of_sync} calls with {permits} permits",
                of_app + 1
            ));
        }
        let other = app_of_call(poorer?);
        Some(format!("begins call {} of the app {app} while a call of {other} waits, which holds fewer", of_app + 1))
    }
}

impl Checker for Shares {
    fn name(&self) -> &'static str {
        "shares"
    }

    fn observe(&mut self, observation: &Observation<'_>, _: &Snapshot<'_>, probes: &mut Probes) -> Result<(), String> {
        match observation {
            Observation::Configured { of, gate, .. } => self.lives.entry(*of).or_default().limits = Some(*gate),
            Observation::InputHandled {
                of,
                input: InputKind::Call { inbox, .. },
                disposition: Disposition::Accepted,
                for_another_life: false,
                ..
            } => _ = self.lives.entry(*of).or_default().waiting.insert(*inbox),
            Observation::Fact { of, fact: Fact::CallRefused { call, .. } } => {
                self.lives.entry(*of).or_default().waiting.remove(&call.inbox);
            }
            Observation::StoreCalled { of, op: Some(op), request: Request::BeginCalls { calls, .. } } => {
                let objection = self.lives.entry(*of).or_default().begin(*op, calls, probes);
                if let Some(what) = objection {
                    return Err(format!("daemon {} {what}", of.daemon));
                }
            }
            Observation::StoreAnswered { of, op, result, accepted: true } => {
                let state = self.lives.entry(*of).or_default();
                let begun = state.beginning.remove(op).unwrap_or_default();
                if result.as_ref().is_err_and(|error| error.fate == Fate::NotApplied) {
                    state.waiting.extend(begun);
                }
            }
            Observation::ExecutionStarted { of, op, delivery } => {
                self.lives.entry(*of).or_default().running.insert(*op, delivery.reply_to);
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
