//! The steps of clients and operators.

use super::daemon::incarnation;
use super::{Event, World};
use crate::app::{MAX_DEPTH, OWNER, POISON, app, app_of_call, deploy_probe, is_invocation, principal};
use crate::checkers::{Observation, Violation};
use crate::plan::{Step, Version};
use crate::probes::Probe;
use crate::sabotage::{deploy, fan_out_again};
use std::sync::Arc;
use tidegate_core::{
    Cause, Collection, EventId, EventType, IdempotencyKey, InboxId, Input, Json, Key, Micros, NewEvent, Parent,
    ScriptName, Subject, SyncCall, SyncTarget, TimeoutMs, TriggerId, TriggerName,
};
use tidegate_io_sim::Memory;
use tidegate_ports::{Emission, EmittedEvent, Guard, LetterSelection};

impl World {
    pub(super) fn step(&mut self, n: usize) -> Result<(), Violation> {
        let step = self.plan.steps[n].1.clone();
        self.trace.tell(|| format!("clients: {step:?}"));
        self.trace.note(&step);
        match step {
            Step::Emit { to, count, lag } => self.emit(&to, count, lag),
            Step::Put { key } => self.put(key),
            Step::Rollback { to } => self.rollback(&to),
            Step::Call { count, daemon, patience, key } => {
                // The driver hands over the calls that arrive together, and then takes the outputs.
                self.collects_inputs = count > 1;
                let made = (0..count).try_for_each(|_| self.make_call(daemon, patience, key));
                self.collects_inputs = false;
                made?;
                if self.is_away(daemon) { Ok(()) } else { self.drain(daemon) }
            }
            Step::Gate { daemon, limits } => {
                let life = self.daemons[daemon].life;
                self.reach(daemon, life, Input::GateChanged { limits })
            }
            Step::Redrive { limit } => {
                let batch = self.store.redrive(&app(), &selection(limit)).expect("the app is there");
                self.observe(&Observation::OutboxChanged)?;
                self.notify(batch.woken_lanes)
            }
            Step::Discard { limit } => {
                self.store.discard(&app(), &selection(limit)).expect("the app is there");
                Ok(())
            }
            Step::PauseTrigger { trigger, length } => {
                self.set_paused(&trigger, true);
                let until = self.until(length);
                self.at(until, Event::Resume { trigger });
                Ok(())
            }
            Step::Disable { length } => {
                self.set_disabled(true);
                let until = self.until(length);
                self.at(until, Event::Enable);
                Ok(())
            }
            Step::Deploy { change, length } => {
                if let Some(probe) = deploy_probe(&self.store, &change) {
                    self.probes.sometimes(probe, true);
                }
                deploy(self.bug, &mut self.store, &change, &mut self.sabotage_memory);
                let until = self.until(length);
                self.at(until, Event::Redeploy);
                Ok(())
            }
            Step::Poison { to } => {
                let poison = Emission { events: vec![event(&to, POISON)], ..emission(&to, 1) };
                let emitted = self.store.emit(&poison).expect("the app is there");
                self.observe(&Observation::OutboxChanged)?;
                self.notify(emitted.into_iter().flat_map(|one| one.lanes).collect())
            }
        }
    }

    fn emit(&mut self, to: &str, count: u32, lag: u64) -> Result<(), Violation> {
        let now = self.store.now();
        self.probes.sometimes(Probe::CommittedLate, lag > 0);
        self.store.set_now(now.minus(Micros(lag)));
        let emitted = self.store.emit(&emission(to, count)).expect("the app is there");
        fan_out_again(self.bug, &mut self.store);
        self.store.set_now(now);
        self.observe(&Observation::OutboxChanged)?;
        let waiting = self.claim_inline(emitted)?;
        self.notify(waiting)
    }

    fn put(&mut self, key: u32) -> Result<(), Violation> {
        let emitted = put(&mut self.store, key, self.now);
        self.observe(&Observation::OutboxChanged)?;
        let waiting = self.claim_inline(vec![emitted])?;
        self.notify(waiting)
    }

    /// Notifies for rows that are then rolled back.
    fn rollback(&mut self, to: &str) -> Result<(), Violation> {
        self.probes.sometimes(Probe::RolledBack, true);
        let mut copy = self.store.clone();
        let emitted = copy.emit(&emission(to, 1)).expect("the app is there");
        self.notify(emitted.into_iter().flat_map(|one| one.lanes).collect())
    }

    /// Notifies one daemon, and perhaps a second one. The others find the rows by discovery.
    fn notify(&mut self, lanes: Vec<TriggerId>) -> Result<(), Violation> {
        let first = self.draw.between(0, self.daemons.len() as u64 - 1) as usize;
        let times = self.draw.between(0, 2);
        for nth in 0..times {
            let daemon = (first + nth as usize / 2) % self.daemons.len();
            let is_deaf = self.daemons[daemon].deaf_until > self.now;
            self.probes.sometimes(Probe::NoticeLost, is_deaf);
            if !is_deaf {
                let life = self.daemons[daemon].life;
                let names_lanes = self.daemons[daemon].version == Version::Current;
                let lanes = if names_lanes { lanes.clone() } else { Vec::new() };
                self.reach(daemon, life, Input::WakeUp { lanes, discover: !names_lanes })?;
            }
        }
        Ok(())
    }

    fn make_call(&mut self, daemon: usize, patience: u64, key: Option<u32>) -> Result<(), Violation> {
        if !self.daemons[daemon].is_alive || self.is_away(daemon) {
            return Ok(());
        }
        let life = self.daemons[daemon].life;
        self.daemons[daemon].callers += 1;
        let inbox = InboxId { incarnation: incarnation(daemon, life), seq: self.daemons[daemon].callers };
        self.daemons[daemon].waiting.insert(inbox);
        let (target, event) = if is_invocation(inbox) {
            (script(), event("invoke", ""))
        } else {
            let target = SyncTarget::Trigger { app: app_of_call(inbox), id: self.page };
            (target, event("http.request", "GET /"))
        };
        let call = Arc::new(SyncCall {
            inbox,
            target,
            event,
            cause: Cause { parent: chain(inbox.seq), ..Cause::outside(principal("admin")) },
            idempotency_key: key.map(key_of),
        });
        self.at(self.now + patience, Event::HangUp { daemon, life, inbox });
        self.reach(daemon, life, Input::SyncCalled { call: Arc::clone(&call) })?;
        let may_repeat = !self.collects_inputs && self.daemons[daemon].waiting.contains(&inbox);
        if may_repeat && self.draw.permille(50) {
            self.reach(daemon, life, Input::SyncCalled { call })?;
        }
        Ok(())
    }

    pub(super) fn hang_up(&mut self, daemon: usize, life: u64, inbox: InboxId) -> Result<(), Violation> {
        if self.daemons[daemon].life != life || !self.daemons[daemon].waiting.remove(&inbox) {
            return Ok(());
        }
        self.trace.tell(|| format!("daemon {daemon}: caller {} hangs up", inbox.seq));
        self.reach(daemon, life, Input::CallerGone { inbox })
    }

    pub(super) fn set_paused(&mut self, trigger: &str, paused: bool) {
        set_paused(&mut self.store, trigger, paused);
    }

    pub(super) fn set_disabled(&mut self, disabled: bool) {
        self.store.set_disabled(&principal(OWNER), disabled);
    }
}

/// Writes a value that a trigger watches.
pub(crate) fn put(store: &mut Memory, key: u32, value: u64) -> EmittedEvent {
    let collection = Collection::new("in").expect("a word");
    let key = Key::new(format!("k{key}")).expect("a short text");
    let value = Json::from(serde_json::json!(value));
    let cause = Cause::outside(principal("admin"));
    store.put(&app(), &collection, &key, value, Guard::Any, &cause).expect("the app is there").emitted
}

pub(crate) fn set_paused(store: &mut Memory, trigger: &str, paused: bool) {
    let name = TriggerName::new(trigger).expect("a trigger's name");
    store.pause(&app(), &name, paused).expect("the app is there");
}

pub(crate) fn selection(limit: u32) -> LetterSelection {
    LetterSelection { limit, ..LetterSelection::default() }
}

/// The target of an invocation.
pub(crate) fn script() -> SyncTarget {
    let script = ScriptName::new("invoked").expect("a constant within the rule");
    SyncTarget::Script { app: app(), script, timeout: TimeoutMs::try_from(2_000).expect("within the bounds") }
}

/// Most callers start a chain. Some are at the maximum depth, and some are beyond it.
pub(crate) fn chain(caller: u64) -> Option<Parent> {
    let depth = match caller % 8 {
        3 => MAX_DEPTH,
        6 => MAX_DEPTH + 1,
        _ => return None,
    };
    let id = EventId(uuid::Uuid::from_u128(u128::from(caller)));
    Some(Parent { root_id: id, parent_id: id, depth })
}

pub(crate) fn key_of(key: u32) -> IdempotencyKey {
    IdempotencyKey { key: key.to_string(), digest: "same".to_owned() }
}

/// An event without data.
pub(crate) fn event(event_type: &str, subject: &str) -> NewEvent {
    NewEvent {
        event_type: EventType::new(event_type).expect("a constant within the rule"),
        subject: Subject::new(subject).expect("a constant within the rule"),
        data: Json::null(),
    }
}

/// Events for several lanes in one transaction.
pub(crate) const SEVERAL_LANES: &str = "count, owned and flaky";

fn lane_of(to: &str, nth: usize) -> &str {
    if to == SEVERAL_LANES { ["count", "owned", "flaky"][nth % 3] } else { to }
}

pub(crate) fn emission(to: &str, count: u32) -> Emission {
    Emission {
        app: app(),
        events: (0..count as usize).map(|nth| event(lane_of(to, nth), "")).collect(),
        cause: Cause::outside(principal("admin")),
        idempotency_key: None,
    }
}
