//! The end of executions and of claims: every claim ends with a verdict, or is dropped because its
//! lease is lost.

use super::Dispatcher;
use super::claims::{HeldClaim, Stage};
use super::executions::Execution;
use crate::claim::Claim;
use crate::delivery::{Delivery, Kind, Run, Verdict, settle};
use crate::gate::Caller;
use crate::io::{Action, Disposition, Fact};
use crate::names::TriggerId;
use crate::outcome::{ExecError, Failure, Outcome};
use crate::reply::check_reply;
use crate::rng::Purpose;
use crate::sync::{SyncOutcome, SyncReply};
use crate::time::Micros;
use std::sync::Arc;

/// How many times a handler runs again after conflicts. The next conflict fails the attempt.
const CONFLICTS_MAX: u32 = 20;

impl Dispatcher {
    pub(super) fn execution_ended(&mut self, seq: u64, outcome: Outcome, start_wait: Micros) -> Disposition {
        let Some(execution) = self.end_execution(seq) else { return Disposition::Stale };
        match &outcome {
            Outcome::NotStarted { reason } => self.report_not_started(execution, reason),
            // A refusal takes no time, and says nothing about the rate of the handlers.
            Outcome::Succeeded { .. } | Outcome::Failed(_) if execution.caller == Caller::Async => {
                self.prefetch.ended();
                self.rests.start(execution.trigger, self.now);
            }
            Outcome::Succeeded { .. } | Outcome::Failed(_) => {}
        }
        self.conclude(execution, outcome, start_wait);
        Disposition::Accepted
    }

    fn report_not_started(&mut self, execution: Execution, reason: &str) {
        let Some(held) = self.claims.get(execution.claim) else { return };
        let (delivery, reason) = (Arc::clone(&held.delivery), reason.to_owned());
        let is_async = execution.caller == Caller::Async;
        let begins_rest = is_async && self.shutdown.is_none() && !self.rests.is_resting(execution.trigger, self.now);
        self.outputs.emit_fact(Fact::HandlerNotStarted { delivery, reason, begins_rest });
    }

    /// Frees the permit of an execution.
    fn end_execution(&mut self, seq: u64) -> Option<Execution> {
        let execution = self.executions.end(seq)?;
        self.gate.release(execution.caller);
        if execution.caller == Caller::Async {
            self.lanes.ended(execution.trigger);
        } else {
            self.call_shares.ended(seq);
        }
        Some(execution)
    }

    /// Drops an execution and frees its permit.
    pub(super) fn cancel(&mut self, seq: u64) -> Option<Execution> {
        let execution = self.end_execution(seq)?;
        self.outputs.push_action(Action::Cancel { op: self.outputs.op(seq) });
        Some(execution)
    }

    /// Turns the outcome of an execution into a verdict. If the lease was lost while the handler
    /// ran, the claim is no longer held and the outcome is discarded.
    fn conclude(&mut self, execution: Execution, outcome: Outcome, start_wait: Micros) {
        let run = execution.run(start_wait, self.now);
        if outcome.is_started() {
            self.claims.set_last_run(execution.claim, run);
        }
        self.conclude_run(execution.claim, outcome, run);
    }

    /// Concludes an execution that was cancelled. Its start wait is not known, so all of the time
    /// counts as running.
    pub(super) fn conclude_cancelled(&mut self, execution: Execution, failure: Failure) {
        self.conclude(execution, Outcome::Failed(failure), Micros::ZERO);
    }

    /// Concludes a claim with a failure that the execution itself did not report.
    fn conclude_failed(&mut self, claim: Claim, failure: Failure) {
        let Some(held) = self.claims.get(claim) else { return };
        let run = held.last_run.unwrap_or_else(|| Run::empty(self.clock.now(self.now)));
        self.conclude_run(claim, Outcome::Failed(failure), run);
    }

    fn conclude_run(&mut self, claim: Claim, outcome: Outcome, run: Run) {
        let Some(held) = self.claims.get(claim) else { return };
        let outcome = match outcome {
            Outcome::Failed(failure) => Outcome::Failed(failure.with_capped_retry_after()),
            Outcome::Succeeded { effects, .. } if effects.bytes() > self.config.effects_bytes_max() => {
                Outcome::Failed(too_large(effects.bytes(), self.config.effects_bytes_max()))
            }
            other @ (Outcome::Succeeded { .. } | Outcome::NotStarted { .. }) => other,
        };
        let (delivery, caller, is_keyed) =
            (Arc::clone(&held.delivery), held.caller(), held.call.as_ref().is_some_and(|call| call.is_keyed));
        if caller == Caller::Async {
            let deferral = if outcome.is_started() { Micros::ZERO } else { self.rest_lane(claim, delivery.trigger_id) };
            return self.conclude_with(claim, settle(&delivery, outcome, run, self.boot.rng_key, deferral));
        }
        let outcome = check_reply(&delivery, outcome);
        let reply = SyncReply::of(claim, &outcome, self.config.gate_backoff());
        let kept = if is_keyed { reply.result.clone().ok() } else { None };
        self.claims.keep_reply(claim, SyncOutcome::of(&outcome), reply);
        let mut verdict = settle(&delivery, outcome, run, self.boot.rng_key, Micros::ZERO);
        if let (Verdict::Executed { reply, .. }, Some(kept)) = (&mut verdict, kept) {
            *reply = kept;
        }
        self.conclude_with(claim, verdict);
    }

    /// Sends the verdict about a claim with the next exchange.
    pub(super) fn conclude_with(&mut self, claim: Claim, verdict: Verdict) {
        let Some((trigger, caller)) = self.claims.settle(claim) else { return };
        if caller == Caller::Async {
            self.lanes.settling(trigger);
        }
        self.quarantine.leave(claim);
        self.settlements.push(claim, verdict);
    }

    /// Releases a row that was not executed. The row goes back to its lane, is due at once, and its
    /// attempt does not count.
    pub(super) fn release(&mut self, claim: Claim) {
        self.conclude_with(claim, Verdict::Deferred { delay: Micros::ZERO });
    }

    /// Another writer changed a value that the handler had read. The handler runs again.
    pub(super) fn run_again(&mut self, claim: Claim) {
        let Some(held) = self.claims.count_conflict(claim, self.now) else { return };
        let (times, delivery, caller) = (held.conflicts, Arc::clone(&held.delivery), held.caller());
        self.outputs.emit_fact(Fact::EffectsConflicted { delivery: Arc::clone(&delivery), times });
        if caller == Caller::Async && (self.shutdown.is_some() || !self.may_run_again(&delivery)) {
            self.release(claim);
        } else if self.shutdown.is_some() || times > CONFLICTS_MAX {
            let message = format!(
                "other writers changed values that the handler had read, {times} times in a row; nothing was applied"
            );
            self.conclude_failed(claim, Failure::new(ExecError::EffectsConflict, message));
        } else if caller == Caller::Sync {
            self.conflicted_calls.push(claim);
        } else {
            self.enqueue(&delivery, true);
        }
    }

    /// Whether a delivery with conflicting effects may run again. While its settlement was in
    /// flight, other suspects may have been claimed. Then a row that was lost goes back.
    fn may_run_again(&mut self, delivery: &Delivery) -> bool {
        if delivery.was_lost() {
            if self.quarantine.is_busy() {
                return false;
            }
            self.quarantine.occupy(delivery.claim());
        }
        true
    }

    /// Fails executions that have not ended in the time `overrun` after their timeout. The executor
    /// may have waited before the handler started, and the timeout counts from the start.
    pub(super) fn fail_overruns(&mut self) {
        while let Some(seq) = self.executions.overrun(self.now) {
            let Some(execution) = self.cancel(seq) else { return };
            let Some(held) = self.claims.get(execution.claim) else { continue };
            let (delivery, limit) = (Arc::clone(&held.delivery), held.delivery.timeout.as_millis());
            self.outputs.emit_fact(Fact::ExecutionOverran { delivery });
            let waited = self.now.since(execution.started).as_millis();
            let message = format!("no outcome after {waited} ms, with a timeout of {limit} ms; it was cancelled");
            self.conclude_cancelled(execution, Failure::new(ExecError::Timeout, message));
        }
    }

    /// Defers rows that have waited too long for a permit, because another daemon may have a free
    /// permit.
    pub(super) fn defer_waiting_rows(&mut self) {
        for claim in self.claims.waited_too_long(self.now, self.config.queue_wait_max()) {
            let Some(trigger) = self.claims.get(claim).map(|held| held.delivery.trigger_id) else { continue };
            self.lanes.unqueue(trigger, claim.delivery);
            let delay = self.deferral(claim, self.config.gate_backoff());
            self.conclude_with(claim, Verdict::Deferred { delay });
        }
    }

    /// The back-off of a deferral: up to half of `mean` shorter or longer.
    fn deferral(&self, claim: Claim, mean: Micros) -> Micros {
        let (low, high) = (mean.0 / 2, mean.0.saturating_add(mean.0 / 2));
        // The key is the lease and not the attempt, because a deferral does not count as an
        // attempt.
        let nth = claim.lease.0 as u64;
        Micros(self.boot.rng_key.uniform(Purpose::DeferJitter, claim.delivery.0, nth, low, high))
    }

    /// The handler of an async delivery did not start. Its lane rests, and the rows that it has
    /// queued are deferred, because another daemon may have a thread for them. Returns the back-off
    /// of the delivery.
    fn rest_lane(&mut self, claim: Claim, trigger: TriggerId) -> Micros {
        if self.shutdown.is_some() {
            return Micros::ZERO;
        }
        let mean = self.rests.refuse(trigger, self.config.gate_backoff(), self.now);
        for queued in self.lanes.rest(trigger) {
            if let Some(queued) = self.claims.of(queued).map(HeldClaim::claim) {
                let delay = self.deferral(queued, mean);
                self.conclude_with(queued, Verdict::Deferred { delay });
            }
        }
        self.deferral(claim, mean)
    }

    pub(super) fn end_rests(&mut self) {
        while let Some(trigger) = self.rests.pop_ended(self.now) {
            self.lanes.end_rest(trigger);
        }
    }

    /// Drops a claim whose lease is lost. Its execution is cancelled, because its effects can no
    /// longer be applied.
    pub(super) fn drop_claim(&mut self, lost: HeldClaim) {
        let trigger = lost.delivery.trigger_id;
        self.quarantine.leave(lost.claim());
        match (lost.stage, lost.caller()) {
            (Stage::Queued { .. }, Caller::Async) => self.lanes.unqueue(trigger, lost.delivery.id),
            (Stage::Running { seq }, _) => _ = self.cancel(seq),
            (Stage::Settling, Caller::Async) => self.lanes.settled(trigger),
            (Stage::Queued { .. } | Stage::Settling | Stage::Replying, _) => {}
        }
        if lost.is_reply_due() {
            self.reply_lost(&lost.delivery);
        }
        self.outputs.emit_fact(Fact::LeaseLost { delivery: lost.delivery });
    }

    /// Replies to the caller of a sync execution that lost its lease. The daemon that claimed the
    /// row records it as abandoned.
    pub(super) fn reply_lost(&mut self, delivery: &Delivery) {
        if let Kind::Sync(inbox) = delivery.kind() {
            let message = "the execution's lease was lost; nothing that it wrote was applied";
            let failure = Failure::new(ExecError::Lost, message);
            self.reply(inbox, SyncReply { execution: Some(delivery.claim()), result: Err(failure) }, None);
        }
    }
}

/// The failure of an execution whose effects have more bytes than one settlement may have.
fn too_large(bytes: u64, bytes_max: u64) -> Failure {
    let message = format!(
        "the handler staged {bytes} bytes of keys, values and events, at most {bytes_max} are allowed \
         (scripts.effects_bytes_max); nothing was applied"
    );
    Failure::new(ExecError::PayloadTooLarge, message)
}
