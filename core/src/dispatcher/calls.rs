//! Sync calls, from their arrival to their reply.
//!
//! Nothing is written for a call before it has a permit, so a full gate costs the store nothing. No
//! call waits longer than `sync_wait_ms_max` for a permit. The row of a call stays until the reply
//! is delivered or the caller is gone. So a call that a crash interrupts is recorded as abandoned.

use super::Dispatcher;
use super::call_queue::WaitingCall;
use super::claims::Stage;
use super::pending::{BeginningCall, Pending, PendingBegin};
use crate::attempt::AbandonCause;
use crate::claim::Claim;
use crate::delivery::{Delivery, Kind, Verdict};
use crate::gate::Caller;
use crate::io::{Action, Disposition, Fact};
use crate::names::{AppName, InboxId};
use crate::outcome::{ExecError, Failure};
use crate::refusal;
use crate::room::reserve;
use crate::store::{BeginCallsReply, Fate, Request, StoreError};
use crate::sync::{SyncCall, SyncReply};
use crate::time::Mono;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Dispatcher {
    pub(super) fn sync_called(&mut self, call: Arc<SyncCall>) -> Disposition {
        if self.call_queue.contains(call.inbox) || self.pending.beginning_call(call.inbox).is_some() {
            return Disposition::Rejected;
        }
        let waiting = self.call_queue.arrive(call, self.now, self.config.sync_wait_max());
        match self.refusal(&waiting.call) {
            Some(failure) => self.refuse_call(waiting, failure),
            None => self.call_queue.push(waiting),
        }
        Disposition::Accepted
    }

    /// The reason to refuse an arriving call, if there is one.
    fn refusal(&self, call: &SyncCall) -> Option<Failure> {
        let (depth, depth_max) = (call.cause.parent.map_or(0, |parent| parent.depth), self.config.max_trigger_depth());
        let (waiting, app) = (self.call_queue.len(), call.target.app());
        if depth > depth_max {
            let message =
                format!("the chain of events is {depth} deep, max_trigger_depth is {depth_max}; nothing was started");
            Some(Failure::new(ExecError::LoopRefused, message))
        } else if self.shutdown.is_some() {
            Some(shutting_down())
        } else if !self.call_queue.has_place(app, self.config.sync_queue_max() + self.permits_for(app)) {
            Some(self.overloaded(format!(
                "{waiting} calls already wait for a permit; nothing was started; call again later"
            )))
        } else {
            None
        }
    }

    /// A caller hung up. A call that waits for a permit is dropped, and nothing is written for it.
    /// A call that the store is beginning is abandoned and not executed. A running execution
    /// continues.
    pub(super) fn caller_gone(&mut self, inbox: InboxId) -> Disposition {
        if let Some(WaitingCall { call, since, .. }) = self.call_queue.remove(inbox) {
            self.outputs.emit_fact(Fact::CallRefused { call, failure: None, waited: self.now.since(since) });
        } else if let Some(beginning) = self.pending.beginning_call(inbox) {
            beginning.is_caller_gone = true;
        }
        Disposition::Accepted
    }

    /// Refuses calls that have waited too long, then gives free permits to the others.
    pub(super) fn admit_calls(&mut self) {
        while let Some(late) = self.call_queue.pop_late(self.now) {
            let waited_ms = self.now.since(late.since).as_millis();
            let message = format!("no permit became free within {waited_ms} ms; nothing was started; call again later");
            self.refuse_call(late, self.overloaded(message));
        }
        self.rerun_conflicted_call();
        if self.may_begin() {
            self.begin_calls();
        }
    }

    fn rerun_conflicted_call(&mut self) {
        let last_stage = self.conflicted_calls.last_rerun().and_then(|claim| self.claims.stage(claim));
        if let Some(Stage::Running { .. } | Stage::Settling) = last_stage {
            return;
        }
        while let Some(claim) = self.conflicted_calls.first() {
            if !matches!(self.claims.stage(claim), Some(Stage::Queued { .. })) {
                self.conflicted_calls.drop_first();
            } else if self.gate.try_admit(Caller::Sync) {
                self.conflicted_calls.rerun_first();
                if let Some(call) = self.claims.get(claim).and_then(|held| held.call.as_ref()) {
                    self.call_shares.take(&call.app);
                }
                return self.start_call(claim);
            } else {
                return;
            }
        }
    }

    fn may_begin(&self) -> bool {
        !self.pending.is_beginning() && self.health.may_call(self.now)
    }

    /// The permits for a call of `app` that arrives now, and for the calls before it. Calls that
    /// arrive together begin together.
    fn permits_for(&self, app: &AppName) -> u32 {
        let (free, beyond_reserve) = self.free_permits();
        let permits = match (self.call_shares.permits_of(app), self.call_queue.has_calls_of(app)) {
            (0, false) => free,
            (0, true) => beyond_reserve.max(free.min(1)),
            _ => beyond_reserve,
        };
        if self.may_begin() { permits.min(self.config.batch_max()) } else { 0 }
    }

    /// The free permits, and how many of them are not reserved for apps without a running call.
    fn free_permits(&self) -> (u32, u32) {
        let free = self.gate.free(Caller::Sync);
        (free, free.saturating_sub(reserve(self.gate.sync_permits())))
    }

    /// Begins waiting calls while permits are free: the store writes their rows in one transaction.
    fn begin_calls(&mut self) {
        let (mut calls, mut in_order) = (BTreeMap::new(), Vec::new());
        let (batch_max, mut bytes, mut is_full) = (self.config.batch_max() as usize, 0_u64, false);
        while !is_full && calls.len() < batch_max && self.gate.free(Caller::Sync) > 0 {
            let (_, beyond_reserve) = self.free_permits();
            let Some(call) = self.call_queue.pop_next(&self.call_shares, beyond_reserve > 0) else { break };
            bytes = bytes.saturating_add(call.call.event.bytes());
            let is_too_much = call.begins_alone || bytes > self.config.exchange_bytes_max();
            if is_too_much && !calls.is_empty() {
                self.call_queue.push(call);
                break;
            }
            is_full = call.begins_alone;
            let is_admitted = self.gate.try_admit(Caller::Sync);
            debug_assert!(is_admitted, "a call gets a permit only while one is free");
            self.call_shares.take(call.call.target.app());
            in_order.push(SyncCall::clone(&call.call));
            calls.insert(call.call.inbox, BeginningCall { call, is_caller_gone: false });
        }
        if !calls.is_empty() {
            let request = Request::BeginCalls { calls: in_order, lease_for: self.config.lease_for() };
            let seq = self.outputs.call_store(request);
            self.pending.insert(seq, Pending::BeginCalls(PendingBegin { sent_at: self.now, calls }));
        }
    }

    pub(super) fn begin_answered(&mut self, sent: PendingBegin, reply: BeginCallsReply) {
        let BeginCallsReply { now, deliveries, refused, repeated } = reply;
        let PendingBegin { sent_at, mut calls } = sent;
        self.store_answered_at(now);
        for delivery in deliveries {
            let Kind::Sync(inbox) = delivery.kind() else { continue };
            if let Some(call) = calls.remove(&inbox) {
                self.call_begun(delivery, call, sent_at);
            }
        }
        for (inbox, refusal) in refused {
            if let Some(beginning) = calls.remove(&inbox) {
                self.release_permit(&beginning.call.call);
                self.refuse_call(beginning.call, refusal.failure());
            }
        }
        for (inbox, reply) in repeated {
            if let Some(beginning) = calls.remove(&inbox) {
                self.release_permit(&beginning.call.call);
                self.outputs.emit_fact(Fact::CallRepeated { call: beginning.call.call });
                self.reply(inbox, reply, None);
            }
        }
        let message = "the store's reply does not mention the call; it was not executed";
        self.refuse_beginning(calls, &Failure::new(ExecError::Internal, message));
    }

    pub(super) fn begin_failed(&mut self, sent: PendingBegin, error: &StoreError) {
        match error.fate {
            Fate::NotApplied => self.wait_again(sent),
            // The store may have written a row. A second row could execute the call twice, so the
            // call is refused. The lease of the first row will expire, and the daemon that claims
            // it records it as abandoned.
            Fate::Unknown => {
                let message = format!("the store's answer was lost; the call was not executed: {error}");
                self.refuse_beginning(sent.calls, &Failure::new(ExecError::Lost, message));
            }
        }
    }

    /// The store refused the data of new calls. If there are several, each is begun alone. A call
    /// that is refused alone is not tried again.
    pub(super) fn begin_refused(&mut self, mut sent: PendingBegin, error: &StoreError) {
        let calls = sent.calls.len() as u32;
        self.outputs.emit_fact(Fact::CallsRefused { calls, error: error.clone() });
        if calls > 1 {
            sent.calls.values_mut().for_each(|beginning| beginning.call.begins_alone = true);
            return self.wait_again(sent);
        }
        let failure = refusal::failure(error, true);
        self.refuse_beginning(sent.calls, &failure);
    }

    /// Nothing was written. The calls wait again at their old places, unless their callers hung up.
    fn wait_again(&mut self, sent: PendingBegin) {
        for BeginningCall { call: waiting, is_caller_gone } in sent.calls.into_values() {
            self.release_permit(&waiting.call);
            if is_caller_gone {
                let waited = self.now.since(waiting.since);
                self.outputs.emit_fact(Fact::CallRefused { call: waiting.call, failure: None, waited });
            } else if self.shutdown.is_some() {
                self.refuse_call(waiting, shutting_down());
            } else {
                self.call_queue.push(waiting);
            }
        }
    }

    fn refuse_beginning(&mut self, calls: BTreeMap<InboxId, BeginningCall>, failure: &Failure) {
        for beginning in calls.into_values() {
            self.release_permit(&beginning.call.call);
            self.refuse_call(beginning.call, failure.clone());
        }
    }

    /// The row of a call is written. The call is executed, unless its caller has hung up.
    fn call_begun(&mut self, delivery: Arc<Delivery>, beginning: BeginningCall, sent_at: Mono) {
        let BeginningCall { call: WaitingCall { call, since, .. }, is_caller_gone } = beginning;
        if self.claims.is_outdated(&delivery) {
            // The answer was so late that the lease expired and this dispatcher claimed the row as
            // an orphan.
            self.release_permit(&call);
            if !is_caller_gone {
                self.reply_lost(&delivery);
            }
            self.outputs.emit_fact(Fact::LeaseLost { delivery });
            return;
        }
        let (claim, leased_until) = (delivery.claim(), sent_at.plus(self.config.lease_for()));
        if let Some(other) = self.claims.hold_call(delivery, since, leased_until, &call) {
            self.drop_claim(other);
        }
        if is_caller_gone {
            self.release_permit(&call);
            self.conclude_with(claim, Verdict::Abandoned { cause: AbandonCause::CallerGone });
        } else {
            self.start_call(claim);
        }
    }

    /// Frees the permit of a call that is not executed.
    fn release_permit(&mut self, call: &SyncCall) {
        self.gate.release(Caller::Sync);
        self.call_shares.release(call.target.app());
    }

    /// Refuses every call that waits for a permit when a shutdown begins.
    pub(super) fn refuse_waiting_calls(&mut self) {
        while let Some(waiting) = self.call_queue.pop() {
            self.refuse_call(waiting, shutting_down());
        }
    }

    fn refuse_call(&mut self, WaitingCall { call, since, .. }: WaitingCall, failure: Failure) {
        let (inbox, waited) = (call.inbox, self.now.since(since));
        self.outputs.emit_fact(Fact::CallRefused { call, failure: Some(failure.clone()), waited });
        self.reply(inbox, SyncReply { execution: None, result: Err(failure) }, None);
    }

    fn overloaded(&self, message: String) -> Failure {
        Failure { retry_after: Some(self.config.gate_backoff()), ..Failure::new(ExecError::Overloaded, message) }
    }

    /// Hands a reply to its caller. The row of `claim` is settled when the hand-over has ended.
    pub(super) fn reply(&mut self, inbox: InboxId, reply: SyncReply, claim: Option<Claim>) {
        let op = self.outputs.next_op();
        self.replies.insert(op.seq, claim);
        self.outputs.push_action(Action::Reply { op, inbox, reply });
    }

    /// The settlement of a sync execution was applied. Only now does its caller get the reply.
    pub(super) fn reply_executed(&mut self, claim: Claim) {
        if let Some((Kind::Sync(inbox), Some(reply))) = self.claims.take_reply(claim) {
            self.reply(inbox, reply, Some(claim));
        }
    }

    pub(super) fn reply_delivered(&mut self, seq: u64, is_delivered: bool) -> Disposition {
        let Some(claim) = self.replies.remove(seq) else { return Disposition::Stale };
        if let Some(claim) = claim {
            let gone = Verdict::Abandoned { cause: AbandonCause::CallerGone };
            self.conclude_with(claim, if is_delivered { Verdict::Replied } else { gone });
        }
        Disposition::Accepted
    }
}

fn shutting_down() -> Failure {
    Failure::new(ExecError::Overloaded, "the daemon is shutting down; nothing was started; call again later")
}
