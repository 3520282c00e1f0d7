//! The end of executions and of claims: every claim ends with a verdict, or is dropped because its
//! lease is lost.

use super::Dispatcher;
use super::claims::{HeldClaim, Stage};
use super::executions::Execution;
use crate::claim::Claim;
use crate::delivery::{Delivery, Kind, Run, Verdict, settle};
use crate::gate::Caller;
use crate::io::{Action, Disposition, Fact};
use crate::outcome::{ExecError, Failure, Outcome};
use crate::reply::check_reply;
use crate::rng::Purpose;
use crate::sync::{SyncOutcome, SyncReply};
use crate::time::Micros;
use std::sync::Arc;

/// How many times a handler runs again after conflicts. The next conflict fails the attempt.
const CONFLICTS_MAX: u32 = 20;

impl Dispatcher {
    pub(super) fn execution_ended(&mut self, seq: u64, outcome: Outcome) -> Disposition {
        let Some(execution) = self.end_execution(seq) else { return Disposition::Stale };
        if execution.caller == Caller::Async {
            self.prefetch.ended();
        }
        self.conclude(execution, outcome);
        Disposition::Accepted
    }

    /// Frees the permit of an execution.
    fn end_execution(&mut self, seq: u64) -> Option<Execution> {
        let execution = self.executions.end(seq)?;
        self.gate.release(execution.caller);
        if execution.caller == Caller::Async {
            self.lanes.ended(execution.trigger);
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
    pub(super) fn conclude(&mut self, execution: Execution, outcome: Outcome) {
        let duration = self.now.since(execution.started);
        self.claims.set_duration(execution.claim, duration);
        self.conclude_run(execution.claim, outcome, Run { started_at: execution.started_at, duration });
    }

    /// Concludes a claim with a failure that the execution itself did not report.
    fn conclude_failed(&mut self, claim: Claim, failure: Failure) {
        let Some(held) = self.claims.get(claim) else { return };
        let duration = held.took.unwrap_or_default();
        let started_at = self.clock.now(self.now).minus(duration);
        self.conclude_run(claim, Outcome::Failed(failure), Run { started_at, duration });
    }

    fn conclude_run(&mut self, claim: Claim, outcome: Outcome, run: Run) {
        let Some(held) = self.claims.get(claim) else { return };
        let (delivery, caller, is_keyed) = (Arc::clone(&held.delivery), held.caller, held.is_keyed);
        if caller == Caller::Async {
            return self.conclude_with(claim, settle(&delivery, outcome, run, self.boot.rng_key));
        }
        let outcome = check_reply(&delivery, outcome);
        let reply = SyncReply::of(claim, &outcome);
        let kept = if is_keyed { reply.result.clone().ok() } else { None };
        self.claims.keep_reply(claim, SyncOutcome::of(&outcome), reply);
        let mut verdict = settle(&delivery, outcome, run, self.boot.rng_key);
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
        let (times, delivery, caller) = (held.conflicts, Arc::clone(&held.delivery), held.caller);
        self.outputs.emit_fact(Fact::EffectsConflicted { delivery: Arc::clone(&delivery), times });
        if self.shutdown.is_some() && caller == Caller::Async {
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

    /// Fails executions that have not ended in the time `overrun` after their timeout.
    pub(super) fn fail_overruns(&mut self) {
        while let Some(seq) = self.executions.overrun(self.now) {
            let Some(execution) = self.cancel(seq) else { return };
            let Some(held) = self.claims.get(execution.claim) else { continue };
            let (delivery, limit) = (Arc::clone(&held.delivery), held.delivery.timeout.as_millis());
            self.outputs.emit_fact(Fact::ExecutionOverran { delivery });
            let overrun = self.config.overrun().as_millis();
            let message = format!("still running {overrun} ms after its timeout of {limit} ms; it was cancelled");
            self.conclude(execution, Outcome::Failed(Failure::new(ExecError::Timeout, message)));
        }
    }

    /// Defers rows that have waited too long for a permit, because another daemon may have a free
    /// permit.
    pub(super) fn defer_waiting_rows(&mut self) {
        for claim in self.claims.waited_too_long(self.now, self.config.queue_wait_max()) {
            let Some(trigger) = self.claims.get(claim).map(|held| held.delivery.trigger_id) else { continue };
            self.lanes.unqueue(trigger, claim.delivery);
            let middle = self.config.gate_backoff().0;
            let (low, high) = (middle / 2, middle.saturating_add(middle / 2));
            // The key is the lease and not the attempt, because a deferral does not count as an
            // attempt.
            let nth = claim.lease.0 as u64;
            let delay = self.boot.rng_key.uniform(Purpose::DeferJitter, claim.delivery.0, nth, low, high);
            self.conclude_with(claim, Verdict::Deferred { delay: Micros(delay) });
        }
    }

    /// Drops a claim whose lease is lost. Its execution is cancelled, because its effects can no
    /// longer be applied.
    pub(super) fn drop_claim(&mut self, lost: HeldClaim) {
        let trigger = lost.delivery.trigger_id;
        match (lost.stage, lost.caller) {
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
