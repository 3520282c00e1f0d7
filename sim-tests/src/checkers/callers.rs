//! A call is accepted once, waits at most `sync_wait_ms_max`, is refused only for the reason in its
//! reply, and is counted while it waits. It does not begin if its caller hangs up before. A
//! shutdown within its grace time leaves no caller waiting.

use super::turns::reserve;
use super::{Checker, InputKind, Life, Observation, Snapshot};
use crate::app::{MAX_DEPTH, SHUTDOWN, SYNC_QUEUE_MAX, SYNC_WAIT, app_of_call};
use crate::probes::{Probe, Probes};
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::{
    BeginCallsReply, Claim, Disposition, ExecError, Fact, Failure, Fate, InboxId, Mono, OpId, Reply, Request,
    StoreError, View,
};

#[derive(Default)]
pub(super) struct Callers {
    lives: BTreeMap<Life, LifeState>,
}

#[derive(Default)]
struct LifeState {
    /// Callers that wait for a permit, with their deadlines.
    waiting: BTreeMap<InboxId, Mono>,
    /// Callers that have a permit while their rows are written, with their deadlines.
    beginning: BTreeMap<OpId, Vec<(InboxId, Mono)>>,
    /// Callers whose rows are written and that have no reply yet.
    without_reply: BTreeSet<InboxId>,
    hung_up: BTreeSet<InboxId>,
    /// Callers whose execution runs again after a conflict; their wait starts again.
    conflicted: BTreeSet<InboxId>,
    /// Callers whose chain is too deep.
    too_deep: BTreeSet<InboxId>,
    /// Rows that wait to run again after a conflict.
    reruns: BTreeSet<Claim>,
    /// Such rows that were lost or settled before they ran again.
    ended_reruns: u32,
    /// The arrival of each call that is not executed yet.
    arrivals: BTreeMap<InboxId, Mono>,
    /// Executions reported since the last idle period, with the reported wait in microseconds.
    starts: Vec<(InboxId, u64)>,
    /// The caller that arrived since the last idle period.
    last_arrival: Option<InboxId>,
    shutdown_at: Option<Mono>,
}

impl LifeState {
    fn is_known(&self, inbox: InboxId) -> bool {
        self.waiting.contains_key(&inbox) || self.beginning.values().flatten().any(|(one, _)| *one == inbox)
    }

    fn check_call(&mut self, inbox: InboxId, depth: u32, disposition: Disposition, now: Mono) -> Result<(), String> {
        match (disposition, self.is_known(inbox)) {
            (Disposition::Rejected, true) => Ok(()),
            (Disposition::Accepted, false) => {
                self.waiting.insert(inbox, now.plus(SYNC_WAIT));
                self.arrivals.insert(inbox, now);
                self.last_arrival = Some(inbox);
                if depth > MAX_DEPTH {
                    self.too_deep.insert(inbox);
                }
                Ok(())
            }
            (other, is_known) => Err(format!("caller {} is {other:?}, known before: {is_known}", inbox.seq)),
        }
    }

    fn check_beginning(&mut self, op: OpId, callers: impl Iterator<Item = InboxId>) -> Result<(), String> {
        let mut begun = Vec::new();
        for inbox in callers {
            if self.shutdown_at.is_some() {
                return Err(format!("the call of caller {} begins after the shutdown request", inbox.seq));
            }
            if self.hung_up.contains(&inbox) {
                return Err(format!("the call of caller {} begins although its caller has hung up", inbox.seq));
            }
            if self.too_deep.contains(&inbox) {
                return Err(format!("the call of caller {} begins although its chain is too deep", inbox.seq));
            }
            let until = self.waiting.remove(&inbox);
            begun.push((inbox, until.ok_or_else(|| format!("caller {} begins without having waited", inbox.seq))?));
        }
        self.beginning.insert(op, begun);
        Ok(())
    }

    fn record_answer(&mut self, op: OpId, result: &Result<Reply, StoreError>) {
        let Some(callers) = self.beginning.remove(&op) else { return };
        match result {
            // The callers keep their places in the queue.
            Err(error) if error.fate == Fate::NotApplied => self.waiting.extend(callers),
            Ok(Reply::BeginCalls(BeginCallsReply { deliveries, .. })) => {
                let unanswered =
                    deliveries.iter().filter_map(|row| row.reply_to).filter(|inbox| !self.hung_up.contains(inbox));
                self.without_reply.extend(unanswered);
            }
            _ => {}
        }
    }

    fn check_refusal(&mut self, inbox: InboxId, failure: Option<&Failure>, waited: u64) -> Result<(), String> {
        let is_refused_in_queue = self.waiting.remove(&inbox).is_some() && self.shutdown_at.is_none();
        let Some(failure) = failure else { return Ok(()) };
        let is_too_deep = self.too_deep.contains(&inbox);
        if is_too_deep != (failure.error == ExecError::LoopRefused) {
            return Err(format!("caller {} gets {:?}, too deep: {is_too_deep}", inbox.seq, failure.error));
        }
        if is_refused_in_queue && failure.error == ExecError::Overloaded {
            let names_the_wait = waited < SYNC_WAIT.0 || failure.message.contains(&format!(" {} ms", waited / 1_000));
            if failure.retry_after.is_none() || !names_the_wait {
                return Err(format!("caller {} gets {failure:?} after {waited} µs", inbox.seq));
            }
        }
        let others = self.waiting.len() as u32;
        // The last places are for apps without waiting calls.
        let has_others = self.waiting.keys().any(|other| app_of_call(*other) == app_of_call(inbox));
        let places = SYNC_QUEUE_MAX - if has_others { reserve(SYNC_QUEUE_MAX) } else { 0 };
        if is_refused_in_queue && !is_too_deep && waited < SYNC_WAIT.0 && others < places {
            return Err(format!("caller {} is refused after {waited} µs while {others} others wait", inbox.seq));
        }
        Ok(())
    }

    fn check_idle(&mut self, view: &View, now: Mono, wake_at: Option<Mono>) -> Result<(), String> {
        if let Some(until) = self.waiting.values().min()
            && (*until <= now || wake_at.is_none_or(|at| at > *until))
        {
            return Err(format!("is idle at {now:?} until {wake_at:?}, but a caller waits until {until:?}"));
        }
        for (inbox, waited) in self.starts.drain(..) {
            let since = self.arrivals.get(&inbox).copied().filter(|_| !self.conflicted.contains(&inbox));
            if let Some(since) = since.filter(|since| now.since(*since).0 != waited) {
                return Err(format!("caller {} waits since {since:?}; the reported wait is {waited} µs", inbox.seq));
            }
        }
        let waiting = self.waiting.len() as u32;
        let has_queued_arrival = self.last_arrival.take().is_some_and(|inbox| self.waiting.contains_key(&inbox));
        if has_queued_arrival && waiting > SYNC_QUEUE_MAX {
            return Err(format!("{waiting} callers wait, the limit is {SYNC_QUEUE_MAX}"));
        }
        // A shutdown ends reruns, and those that have ended are forgotten later.
        let reruns = self.reruns.len() as u32;
        let fewest = if self.shutdown_at.is_some() { 0 } else { reruns };
        if !(waiting + fewest..=waiting + reruns + self.ended_reruns).contains(&view.calls_waiting) {
            return Err(format!("shows {} waiting callers; {waiting} wait and {reruns} run again", view.calls_waiting));
        }
        Ok(())
    }

    fn end_rerun(&mut self, claim: Claim) {
        self.ended_reruns += u32::from(self.reruns.remove(&claim));
    }

    fn check_stop(&self, now: Mono) -> Result<(), String> {
        let begun = self.beginning.values().flatten().map(|(inbox, _)| inbox);
        let left = self
            .waiting
            .keys()
            .chain(begun)
            .chain(&self.without_reply)
            .filter(|inbox| !self.hung_up.contains(inbox))
            .count();
        match self.shutdown_at.filter(|at| left > 0 && now < at.plus(SHUTDOWN)) {
            Some(at) => {
                Err(format!("stops {} µs after the shutdown request while {left} callers wait", now.since(at).0))
            }
            None => Ok(()),
        }
    }
}

impl Callers {
    fn of(&mut self, life: Life) -> &mut LifeState {
        self.lives.entry(life).or_default()
    }
}

impl Checker for Callers {
    fn name(&self) -> &'static str {
        "callers"
    }

    fn observe(&mut self, observation: &Observation<'_>, _: &Snapshot<'_>, probes: &mut Probes) -> Result<(), String> {
        match observation {
            Observation::InputHandled {
                of: life, input: InputKind::Call { inbox, depth }, disposition, now, ..
            } => {
                probes.sometimes(Probe::CalledTwice, *disposition == Disposition::Rejected);
                self.of(*life).check_call(*inbox, *depth, *disposition, *now)
            }
            Observation::InputHandled { of: life, input: InputKind::HangUp(inbox), .. } => {
                self.of(*life).hung_up.insert(*inbox);
                Ok(())
            }
            Observation::InputHandled { of: life, input: InputKind::Shutdown, now, .. } => {
                self.of(*life).shutdown_at.get_or_insert(*now);
                Ok(())
            }
            Observation::StoreCalled { of: life, op: Some(op), request: Request::BeginCalls { calls, .. } } => {
                self.of(*life).check_beginning(*op, calls.iter().map(|call| call.inbox))
            }
            Observation::StoreAnswered { of: life, op, result, accepted: true } => {
                self.of(*life).record_answer(*op, result);
                Ok(())
            }
            Observation::Fact { of: life, fact: Fact::CallRefused { call, failure, waited } } => {
                self.of(*life).check_refusal(call.inbox, failure.as_ref(), waited.0)
            }
            Observation::Fact { of: life, fact: Fact::EffectsConflicted { delivery, .. } }
                if delivery.reply_to.is_some() =>
            {
                let state = self.of(*life);
                state.reruns.insert(delivery.claim());
                state.conflicted.extend(delivery.reply_to);
                Ok(())
            }
            Observation::Fact { of: life, fact: Fact::ExecutionStarted { delivery, waited } } => {
                self.of(*life).starts.extend(delivery.reply_to.map(|inbox| (inbox, waited.0)));
                Ok(())
            }
            Observation::ExecutionStarted { of: life, delivery, .. } => {
                self.of(*life).reruns.remove(&delivery.claim());
                Ok(())
            }
            Observation::Fact { of: life, fact: Fact::LeaseLost { delivery } } => {
                self.of(*life).end_rerun(delivery.claim());
                Ok(())
            }
            Observation::StoreCalled { of: life, request: Request::Exchange { settle, .. }, .. } => {
                settle.iter().for_each(|settlement| self.of(*life).end_rerun(settlement.claim));
                Ok(())
            }
            Observation::ReplySent { of: life, inbox, .. } => {
                self.of(*life).without_reply.remove(inbox);
                Ok(())
            }
            Observation::Idle { of: life, view, now, wake_at, .. } => self.of(*life).check_idle(view, *now, *wake_at),
            Observation::Stopped { of: life, now } => self.of(*life).check_stop(*now),
            Observation::LifeEnded { of: life } => {
                self.lives.remove(life);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
