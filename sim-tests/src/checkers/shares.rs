//! A permit for sync calls goes to the app that holds the fewest. The last permits go only to apps
//! without a running call: an eighth of the permits, and at least one of several. So the calls of
//! one app do not delay the calls of another app.
//!
//! No call waits while a permit is free for it. A call is refused at its arrival only if the queue
//! is full. Of calls with conflicting effects, one runs again at a time.

use super::turns::reserve;
use super::{Checker, InputKind, Life, Observation, Snapshot};
use crate::app::{SYNC_QUEUE_MAX, app_of_call};
use crate::probes::{Probe, Probes};
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::{
    AppName, Claim, Disposition, ExecError, Fact, Fate, GateLimits, InboxId, Micros, OpId, Request, SyncCall,
};

#[derive(Default)]
pub(super) struct Shares {
    lives: BTreeMap<Life, LifeState>,
    lives_by_op: BTreeMap<OpId, Life>,
}

#[derive(Default)]
struct LifeState {
    limits: Option<GateLimits>,
    batch_max: u32,
    /// The callers of the running executions. `None` for an async one.
    running: BTreeMap<OpId, Option<InboxId>>,
    /// Calls that have a permit while their rows are written.
    beginning: BTreeMap<OpId, Vec<InboxId>>,
    waiting: BTreeSet<InboxId>,
    /// Calls that have arrived and may be refused, in the order of their arrival.
    arriving: Vec<InboxId>,
    /// Whether a call may wait in a full queue: the store did not begin it, or another call got the
    /// permit that was free at its arrival.
    may_exceed: bool,
    /// A store call failed and none was made since, so no call begins.
    backs_off: bool,
    is_shutting_down: bool,
    /// Calls with conflicting effects.
    conflicted: BTreeSet<Claim>,
    /// Those that run again.
    rerunning: BTreeSet<OpId>,
}

impl LifeState {
    /// The permits that calls may have beside the running async work, and how many are free.
    fn permits(&self) -> (u32, u32) {
        let of_async = self.running.values().filter(|caller| caller.is_none()).count() as u32;
        let limits = self.limits.unwrap_or_default();
        let permits = limits.for_sync().min(limits.permits.saturating_sub(of_async));
        (permits, permits.saturating_sub(self.with_permit().count() as u32))
    }

    /// How many calls of the app could begin now.
    fn could_begin(&self, app: &AppName) -> u32 {
        if !self.beginning.is_empty() || self.backs_off {
            return 0;
        }
        let (permits, free) = self.permits();
        let first = if self.permits_of(app) == 0 { free.min(1) } else { 0 };
        free.saturating_sub(reserve(permits)).max(first).min(self.batch_max)
    }

    /// Returns a message if the queue was not full when this call was refused. The refusals are
    /// reported in the order of the arrivals.
    fn refuse(&mut self, inbox: InboxId) -> Option<String> {
        self.waiting.remove(&inbox);
        let place = self.arriving.iter().position(|other| *other == inbox)?;
        self.arriving.remove(place);
        let before = self.waiting.len() as u32 + place as u32;
        let app = app_of_call(inbox);
        let mut earlier = self.waiting.iter().chain(&self.arriving[..place]);
        let has_others = earlier.any(|other| app_of_call(*other) == app);
        let places = SYNC_QUEUE_MAX + self.could_begin(&app);
        let for_app = if has_others { places - reserve(places) } else { places };
        (before < for_app).then(|| format!("refuses a call while {before} wait in {for_app} places"))
    }

    /// Returns a message if too many calls wait, or one too long, now that the dispatcher is idle.
    fn wait(&mut self, is_well: bool) -> Option<String> {
        self.waiting.extend(self.arriving.drain(..));
        self.may_exceed &= !self.waiting.is_empty();
        let apps: BTreeSet<AppName> = self.waiting.iter().map(|inbox| app_of_call(*inbox)).collect();
        let reserved = if apps.len() == 1 { reserve(SYNC_QUEUE_MAX) } else { 0 };
        if self.waiting.len() as u32 > SYNC_QUEUE_MAX - reserved && !self.may_exceed {
            return Some(format!("lets {} calls of {} apps wait", self.waiting.len(), apps.len()));
        }
        let app = apps.iter().find(|app| is_well && self.could_begin(app) > 0)?;
        Some(format!("lets a call of the app {app} wait while {:?} permits are free", self.permits()))
    }

    /// Returns a message if another call with conflicting effects runs again already.
    fn run_again(&mut self, op: OpId, claim: Claim, probes: &mut Probes) -> Option<String> {
        if !self.conflicted.remove(&claim) {
            return None;
        }
        probes.sometimes(Probe::CallsConflicted, !self.conflicted.is_empty());
        self.rerunning.insert(op);
        self.may_exceed = true;
        (self.rerunning.len() > 1).then(|| format!("runs {} conflicted calls again at once", self.rerunning.len()))
    }

    fn with_permit(&self) -> impl Iterator<Item = InboxId> {
        self.running.values().flatten().chain(self.beginning.values().flatten()).copied()
    }

    fn permits_of(&self, app: &AppName) -> usize {
        self.with_permit().filter(|inbox| app_of_call(*inbox) == *app).count()
    }

    /// Gives a permit to each call. Returns a message if a call should not have got one.
    fn begin(&mut self, op: OpId, calls: &[SyncCall], probes: &mut Probes) -> Option<String> {
        self.may_exceed |= self.arriving.iter().map(|inbox| app_of_call(*inbox)).collect::<BTreeSet<_>>().len() > 1;
        self.waiting.extend(self.arriving.drain(..));
        self.beginning.insert(op, Vec::new());
        let objections: Vec<String> = calls.iter().filter_map(|call| self.begin_one(op, call.inbox, probes)).collect();
        objections.into_iter().next()
    }

    fn begin_one(&mut self, op: OpId, inbox: InboxId, probes: &mut Probes) -> Option<String> {
        self.waiting.remove(&inbox);
        let app = app_of_call(inbox);
        let (of_app, of_sync) = (self.permits_of(&app), self.with_permit().count());
        let (permits, _) = self.permits();
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

    fn observe(
        &mut self,
        observation: &Observation<'_>,
        snapshot: &Snapshot<'_>,
        probes: &mut Probes,
    ) -> Result<(), String> {
        let (of, objection) = match observation {
            Observation::Idle { of, .. } => {
                let state = self.lives.entry(*of).or_default();
                let is_well = snapshot.trouble.iter().all(|trouble| trouble.until == 0);
                (of, state.wait(is_well && !state.is_shutting_down))
            }
            Observation::Fact { of, fact: Fact::CallRefused { call, failure, waited } } => {
                let state = self.lives.entry(*of).or_default();
                let objection = state.refuse(call.inbox);
                let is_overload = failure.as_ref().is_some_and(|failure| failure.error == ExecError::Overloaded);
                let counts = is_overload && *waited == Micros::ZERO && !state.is_shutting_down;
                (of, objection.filter(|_| counts))
            }
            Observation::StoreCalled { of, op: Some(op), request } => {
                let state = self.lives.entry(*of).or_default();
                state.backs_off = false;
                let Request::BeginCalls { calls, .. } = request else { return Ok(()) };
                (of, state.begin(*op, calls, probes))
            }
            Observation::ExecutionStarted { of, op, delivery } => {
                let state = self.lives.entry(*of).or_default();
                state.running.insert(*op, delivery.reply_to);
                self.lives_by_op.insert(*op, *of);
                (of, state.run_again(*op, delivery.claim(), probes))
            }
            _ => {
                self.record(observation);
                return Ok(());
            }
        };
        objection.map_or(Ok(()), |what| Err(format!("daemon {} {what}", of.daemon)))
    }
}

impl Shares {
    fn record(&mut self, observation: &Observation<'_>) {
        match observation {
            Observation::Configured { of, gate, batch_max } => {
                let state = self.lives.entry(*of).or_default();
                state.limits = Some(*gate);
                state.batch_max = batch_max.unwrap_or(state.batch_max);
            }
            Observation::InputHandled { of, input: InputKind::Shutdown, .. } => {
                self.lives.entry(*of).or_default().is_shutting_down = true;
            }
            Observation::InputHandled {
                of,
                input: InputKind::Call { inbox, .. },
                disposition: Disposition::Accepted,
                for_another_life: false,
                ..
            } => self.lives.entry(*of).or_default().arriving.push(*inbox),
            Observation::Fact { of, fact: Fact::EffectsConflicted { delivery, .. } } if delivery.reply_to.is_some() => {
                self.lives.entry(*of).or_default().conflicted.insert(delivery.claim());
            }
            Observation::StoreAnswered { of, op, result, accepted: true } => {
                let state = self.lives.entry(*of).or_default();
                let begun = state.beginning.remove(op).unwrap_or_default();
                state.backs_off |= result.is_err();
                if result.as_ref().is_err_and(|error| error.fate == Fate::NotApplied) {
                    state.may_exceed |= !begun.is_empty();
                    state.waiting.extend(begun);
                }
            }
            Observation::ExecutionEnded { op, .. } => {
                if let Some(state) = self.lives_by_op.remove(op).and_then(|of| self.lives.get_mut(&of)) {
                    state.running.remove(op);
                    state.rerunning.remove(op);
                }
            }
            Observation::LifeEnded { of } => _ = self.lives.remove(of),
            _ => {}
        }
    }
}
