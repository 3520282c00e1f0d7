//! Sync calls on their way to a permit and to their row. Nothing is written of a call before it has a permit, so a full
//! gate costs the store nothing; and no call waits past its time.

use super::Dispatcher;
use super::claims::Stage;
use super::executions::Execution;
use crate::claim::Claim;
use crate::delivery::{AbandonCause, Delivery, Kind, Verdict};
use crate::gate::Caller;
use crate::io::{Action, Disposition, Fact};
use crate::names::InboxId;
use crate::outcome::{ExecError, Failure, Outcome};
use crate::store::{BeginCallsReply, Fate, Reply, Request, StoreError};
use crate::sync::{SyncCall, SyncReply};
use crate::time::Mono;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    /// Those that wait for a permit, in the order of their arrival.
    waiting: BTreeMap<Place, Waiting>,
    /// Where each of them waits.
    places: BTreeMap<InboxId, Place>,
    arrived: u64,
    /// Executions whose effects conflicted. They go first, because their callers have waited for longer, and one at a time:
    /// all but one of those that ran together would conflict again.
    again: VecDeque<Claim>,
    /// The one of them that runs.
    running_again: Option<Claim>,
    beginning: Option<Beginning>,
}

/// When a call gives up, which is in the order of arrival, and the number of its arrival.
type Place = (Mono, u64);

#[derive(Clone, Debug)]
struct Waiting {
    call: Arc<SyncCall>,
    since: Mono,
    place: Place,
}

/// Calls that have a permit, while their rows are written.
#[derive(Clone, Debug)]
struct Beginning {
    seq: u64,
    sent_at: Mono,
    calls: BTreeMap<InboxId, Begun>,
}

#[derive(Clone, Debug)]
struct Begun {
    waiting: Waiting,
    /// The caller hung up meanwhile.
    gone: bool,
}

impl Calls {
    pub(super) fn waiting(&self) -> u32 {
        (self.waiting.len() + self.again.len()) as u32
    }

    pub(super) fn is_beginning(&self, seq: u64) -> bool {
        self.beginning.as_ref().is_some_and(|beginning| beginning.seq == seq)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.again.is_empty() && self.beginning.is_none()
    }

    /// When the first one has waited long enough.
    pub(super) fn next_give_up(&self) -> Option<Mono> {
        self.waiting.first_key_value().map(|((until, _), _)| *until)
    }

    fn wait(&mut self, waiting: Waiting) {
        self.places.insert(waiting.call.inbox, waiting.place);
        self.waiting.insert(waiting.place, waiting);
    }

    fn take(&mut self, place: Place) -> Option<Waiting> {
        let waiting = self.waiting.remove(&place)?;
        self.places.remove(&waiting.call.inbox);
        Some(waiting)
    }

    fn first(&self) -> Option<Place> {
        self.waiting.first_key_value().map(|(place, _)| *place)
    }

    fn is_known(&self, inbox: InboxId) -> bool {
        let begins = |beginning: &Beginning| beginning.calls.contains_key(&inbox);
        self.places.contains_key(&inbox) || self.beginning.as_ref().is_some_and(begins)
    }

    pub(super) fn run_again(&mut self, claim: Claim) {
        self.again.push_back(claim);
    }
}

impl Dispatcher {
    pub(super) fn sync_called(&mut self, call: Arc<SyncCall>) -> Disposition {
        if self.calls.is_known(call.inbox) {
            return Disposition::Rejected;
        }
        self.calls.arrived = self.calls.arrived.saturating_add(1);
        let place = (self.now.plus(self.config.sync_wait_max()), self.calls.arrived);
        let waiting = Waiting { since: self.now, place, call };
        let depth = waiting.call.cause.parent.map_or(0, |parent| parent.depth);
        if depth > self.config.max_trigger_depth() {
            let message = format!("the call is {depth} events deep in its chain; nothing was started");
            self.refuse_call(waiting, Failure::new(ExecError::LoopRefused, message));
        } else if self.shutdown.is_some() {
            self.refuse_call(waiting, shutting_down());
        } else if self.calls.waiting.len() >= self.config.sync_queue_max() as usize && !self.may_begin() {
            let message = format!("{} callers wait already; nothing was started", self.calls.waiting.len());
            self.refuse_call(waiting, self.overloaded(message));
        } else {
            self.calls.wait(waiting);
        }
        Disposition::Accepted
    }

    /// A caller that hangs up before its row is written leaves no trace. Later it makes no difference to the execution.
    pub(super) fn caller_gone(&mut self, inbox: InboxId) -> Disposition {
        let place = self.calls.places.get(&inbox).copied();
        if let Some(Waiting { call, since, .. }) = place.and_then(|place| self.calls.take(place)) {
            self.tell(Fact::CallRefused { call, failure: None, waited: self.now.since(since) });
        } else if let Some(begun) = self.calls.beginning.as_mut().and_then(|b| b.calls.get_mut(&inbox)) {
            begun.gone = true;
        }
        Disposition::Accepted
    }

    /// Refuses who has waited too long, then gives free permits to those who wait.
    pub(super) fn admit_calls(&mut self) {
        while let Some(place) = self.calls.first().filter(|(until, _)| self.now >= *until) {
            let Some(late) = self.calls.take(place) else { break };
            let message = format!("no permit became free within {} ms; nothing was started", self.waited_ms(&late));
            let failure = self.overloaded(message);
            self.refuse_call(late, failure);
        }
        self.run_conflicted_call();
        if self.may_begin() {
            self.begin_calls();
        }
    }

    fn run_conflicted_call(&mut self) {
        let stage = |claims: &mut super::Claims, claim| claims.get_mut(claim).map(|held| held.stage);
        if let Some(claim) = self.calls.running_again {
            if let Some(Stage::Running { .. } | Stage::Settling) = stage(&mut self.claims, claim) {
                return;
            }
            self.calls.running_again = None;
        }
        while let Some(claim) = self.calls.again.front().copied() {
            if !matches!(stage(&mut self.claims, claim), Some(Stage::Queued { .. })) {
                self.calls.again.pop_front();
            } else if self.gate.try_admit(Caller::Sync) {
                self.calls.again.pop_front();
                self.calls.running_again = Some(claim);
                return self.execute_call(claim);
            } else {
                return;
            }
        }
    }

    fn may_begin(&self) -> bool {
        self.calls.beginning.is_none() && self.health.may_call(self.now) && self.gate.free(Caller::Sync) > 0
    }

    fn begin_calls(&mut self) {
        let mut calls = BTreeMap::new();
        let mut in_order = Vec::new();
        while let Some(place) = self.calls.first() {
            if calls.len() >= self.config.batch_max() as usize || !self.gate.try_admit(Caller::Sync) {
                break;
            }
            let Some(waiting) = self.calls.take(place) else { break };
            in_order.push(SyncCall::clone(&waiting.call));
            calls.insert(waiting.call.inbox, Begun { waiting, gone: false });
        }
        if !calls.is_empty() {
            let seq = self.call_store(Request::BeginCalls { calls: in_order, lease_for: self.config.lease_for() });
            self.calls.beginning = Some(Beginning { seq, sent_at: self.now, calls });
        }
    }

    pub(super) fn begin_answered(&mut self, result: Result<Reply, StoreError>) -> Disposition {
        let Some(mut beginning) = self.calls.beginning.take() else { return Disposition::Stale };
        match result {
            Ok(Reply::BeginCalls(BeginCallsReply { now, deliveries: begun, refused, repeated })) => {
                self.answered_at(now);
                for delivery in begun {
                    let Kind::Sync(inbox) = delivery.kind() else { continue };
                    if let Some(call) = beginning.calls.remove(&inbox) {
                        self.call_begun(Arc::new(delivery), call, beginning.sent_at);
                    }
                }
                for (inbox, refusal) in refused {
                    if let Some(call) = beginning.calls.remove(&inbox) {
                        self.gate.release(Caller::Sync);
                        self.refuse_call(call.waiting, refusal.failure());
                    }
                }
                for (inbox, reply) in repeated {
                    if let Some(call) = beginning.calls.remove(&inbox) {
                        self.gate.release(Caller::Sync);
                        self.tell(Fact::CallRepeated { call: call.waiting.call });
                        self.reply(inbox, reply, None);
                    }
                }
                let message = "the store did not say what became of the call; it was not executed";
                self.refuse_begun(beginning, &Failure::new(ExecError::Internal, message));
                Disposition::Accepted
            }
            Ok(_) => {
                self.calls.beginning = Some(beginning);
                Disposition::Rejected
            }
            Err(error) => {
                match error.fate {
                    Fate::NotApplied => self.wait_again(beginning),
                    // A row may have been written. Writing another could make one call two; that row's lease will run
                    // out, and whoever finds it writes down that its caller is gone.
                    Fate::Unknown => {
                        let message = format!("the call was not executed, the store's answer was lost: {error}");
                        self.refuse_begun(beginning, &Failure::new(ExecError::Lost, message));
                    }
                }
                self.store_failed("begin_calls", error);
                Disposition::Accepted
            }
        }
    }

    /// Nothing was written: the calls wait again where they were, unless nobody waits for them any more.
    fn wait_again(&mut self, beginning: Beginning) {
        for Begun { waiting, gone } in beginning.calls.into_values() {
            self.gate.release(Caller::Sync);
            if gone {
                let waited = self.now.since(waiting.since);
                self.tell(Fact::CallRefused { call: waiting.call, failure: None, waited });
            } else if self.shutdown.is_some() {
                self.refuse_call(waiting, shutting_down());
            } else {
                self.calls.wait(waiting);
            }
        }
    }

    fn refuse_begun(&mut self, beginning: Beginning, failure: &Failure) {
        for begun in beginning.calls.into_values() {
            self.gate.release(Caller::Sync);
            self.refuse_call(begun.waiting, failure.clone());
        }
    }

    /// The row is written: the call is executed, unless its caller has hung up.
    fn call_begun(&mut self, delivery: Arc<Delivery>, call: Begun, sent_at: Mono) {
        let claim = delivery.claim();
        let leased_until = sent_at.plus(self.config.lease_for());
        let stage = Stage::Queued { since: call.waiting.since };
        if self.claims.is_outdated(&delivery) {
            // The answer took so long that the row was found an orphan, and claimed as one.
            self.gate.release(Caller::Sync);
            if !call.gone {
                self.reply_lost(&delivery);
            }
            self.tell(Fact::LeaseLost { delivery });
            return;
        }
        if let Some(other) = self.claims.hold_call(delivery, stage, leased_until) {
            self.let_go(other);
        }
        let is_keyed = call.waiting.call.idempotency_key.is_some();
        if let Some(held) = self.claims.get_mut(claim) {
            held.is_keyed = is_keyed;
        }
        if call.gone {
            self.gate.release(Caller::Sync);
            self.conclude_with(claim, Verdict::Abandoned { cause: AbandonCause::CallerGone });
        } else {
            self.execute_call(claim);
        }
    }

    /// Starts what has a permit.
    fn execute_call(&mut self, claim: Claim) {
        let op = self.next_op();
        let started_at = self.clock.now(self.now);
        let Some(held) = self.claims.get_mut(claim) else { return self.gate.release(Caller::Sync) };
        let waited = match held.stage {
            Stage::Queued { since } => self.now.since(since),
            _ => crate::time::Micros::ZERO,
        };
        held.stage = Stage::Running { seq: op.seq };
        let delivery = Arc::clone(&held.delivery);
        let overrun_at = self.now.plus(delivery.timeout).plus(self.config.overrun());
        let execution = Execution::begin(claim, delivery.trigger_id, Caller::Sync, (self.now, started_at), overrun_at);
        self.executions.begin(op.seq, execution);
        self.tell(Fact::ExecutionStarted { waited, delivery: Arc::clone(&delivery) });
        self.act(Action::Execute { op, delivery });
    }

    /// What a shutdown no longer begins.
    pub(super) fn refuse_waiting_calls(&mut self) {
        while let Some(waiting) = self.calls.first().and_then(|place| self.calls.take(place)) {
            self.refuse_call(waiting, shutting_down());
        }
    }

    fn refuse_call(&mut self, Waiting { call, since, .. }: Waiting, failure: Failure) {
        let waited = self.now.since(since);
        self.tell(Fact::CallRefused { call: Arc::clone(&call), failure: Some(failure.clone()), waited });
        self.reply(call.inbox, SyncReply { execution: None, result: Err(failure) }, None);
    }

    fn overloaded(&self, message: String) -> Failure {
        Failure { retry_after: Some(self.config.gate_backoff()), ..Failure::new(ExecError::Overloaded, message) }
    }

    fn waited_ms(&self, waiting: &Waiting) -> u64 {
        self.now.since(waiting.since).as_millis()
    }

    /// The caller of an execution whose row is no longer ours: somebody else has written it down as abandoned.
    pub(super) fn reply_lost(&mut self, delivery: &Delivery) {
        if let Kind::Sync(inbox) = delivery.kind() {
            let message = "the execution's lease was lost; nothing that it wrote was applied";
            let failure = Failure::new(ExecError::Lost, message);
            self.reply(inbox, SyncReply { execution: Some(delivery.claim()), result: Err(failure) }, None);
        }
    }

    /// An execution that a shutdown does not wait for any longer.
    pub(super) fn end_call(&mut self, execution: Execution) {
        let message = "the daemon was shut down before the execution ended; nothing that it wrote was applied";
        self.conclude(execution, Outcome::Failed(Failure::new(ExecError::Lost, message)));
    }
}

fn shutting_down() -> Failure {
    Failure::new(ExecError::Overloaded, "the daemon is shutting down; nothing was started")
}
