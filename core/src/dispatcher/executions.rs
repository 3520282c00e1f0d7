//! Executions: starting what is queued, and taking in how it ended.

use super::Dispatcher;
use super::claims::Stage;
use crate::claim::Claim;
use crate::delivery::{Run, Verdict, settle};
use crate::gate::Caller;
use crate::io::{Action, Disposition, Fact};
use crate::names::{OpId, TriggerId};
use crate::outcome::{ExecError, Failure, Outcome};
use crate::reply::check_reply;
use crate::rng::Purpose;
use crate::sync::{SyncOutcome, SyncReply};
use crate::time::{Micros, Mono, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What runs, by the number of its start.
#[derive(Clone, Debug, Default)]
pub(super) struct Executions {
    running: BTreeMap<u64, Execution>,
    overruns: BTreeSet<(Mono, u64)>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Execution {
    pub(super) claim: Claim,
    trigger: TriggerId,
    pub(super) caller: Caller,
    started: Mono,
    started_at: Timestamp,
    overrun_at: Mono,
}

impl Execution {
    /// `started` by the local clock and by the store's.
    pub(super) fn begin(
        claim: Claim,
        trigger: TriggerId,
        caller: Caller,
        started: (Mono, Timestamp),
        overrun_at: Mono,
    ) -> Self {
        Self { claim, trigger, caller, started: started.0, started_at: started.1, overrun_at }
    }
}

impl Executions {
    pub(super) fn begin(&mut self, seq: u64, execution: Execution) {
        self.overruns.insert((execution.overrun_at, seq));
        self.running.insert(seq, execution);
    }

    fn end(&mut self, seq: u64) -> Option<Execution> {
        let execution = self.running.remove(&seq)?;
        self.overruns.remove(&(execution.overrun_at, seq));
        Some(execution)
    }

    fn overrun(&self, now: Mono) -> Option<u64> {
        self.overruns.first().filter(|(at, _)| *at <= now).map(|(_, seq)| *seq)
    }

    pub(super) fn next_overrun(&self) -> Option<Mono> {
        self.overruns.first().map(|(at, _)| *at)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    pub(super) fn first(&self) -> Option<(u64, Execution)> {
        self.running.first_key_value().map(|(seq, execution)| (*seq, *execution))
    }
}

impl Dispatcher {
    /// Starts queued rows while there are permits, lane by lane in turn.
    pub(super) fn start_queued(&mut self) {
        if self.shutdown.is_some() {
            return;
        }
        let share = self.budget().share;
        while self.gate.free(Caller::Async) > 0 {
            let Some((trigger, delivery)) = self.lanes.next_to_start(share) else { return };
            let claim = self.claims.of(delivery).filter(|held| matches!(held.stage, Stage::Queued { .. }));
            let Some(claim) = claim.map(super::claims::Held::claim) else {
                self.lanes.ended(trigger);
                continue;
            };
            self.start(trigger, claim);
        }
    }

    fn start(&mut self, trigger: TriggerId, claim: Claim) {
        let op = self.next_op();
        let Some(held) = self.claims.get_mut(claim) else { return };
        let delivery = Arc::clone(&held.delivery);
        // The store may have given the row to somebody else by now; it comes back if not.
        if self.now >= held.leased_until {
            self.claims.remove(claim);
            self.lanes.ended(trigger);
            self.tell(Fact::LeaseLost { delivery });
            return;
        }
        let admitted = self.gate.try_admit(Caller::Async);
        debug_assert!(admitted, "the gate was asked before");
        held.stage = Stage::Running { seq: op.seq };
        let started_at = self.clock.now(self.now);
        let overrun_at = self.now.plus(delivery.timeout).plus(self.config.overrun());
        let execution = Execution::begin(claim, trigger, Caller::Async, (self.now, started_at), overrun_at);
        self.executions.begin(op.seq, execution);
        self.tell(Fact::ExecutionStarted {
            waited: started_at.since(delivery.due_at),
            delivery: Arc::clone(&delivery),
        });
        self.act(Action::Execute { op, delivery });
    }

    pub(super) fn execution_ended(&mut self, op: OpId, outcome: Outcome) -> Disposition {
        if op.incarnation != self.boot.incarnation {
            return Disposition::Stale;
        }
        let Some(execution) = self.end_execution(op.seq) else { return Disposition::Stale };
        self.conclude(execution, outcome);
        Disposition::Accepted
    }

    /// Frees the permit of an execution.
    fn end_execution(&mut self, seq: u64) -> Option<Execution> {
        let execution = self.executions.end(seq)?;
        self.gate.release(execution.caller);
        if execution.caller == Caller::Async {
            self.lanes.ended(execution.trigger);
            self.prefetch.ended();
        }
        Some(execution)
    }

    pub(super) fn conclude(&mut self, execution: Execution, outcome: Outcome) {
        let duration = self.now.since(execution.started);
        // A claim that was lost meanwhile is no longer held: what came of it is nobody's.
        let Some(held) = self.claims.get_mut(execution.claim) else { return };
        held.took = Some(duration);
        self.conclude_run(execution.claim, outcome, Run { started_at: execution.started_at, duration });
    }

    fn conclude_run(&mut self, claim: Claim, outcome: Outcome, run: Run) {
        let Some(held) = self.claims.get_mut(claim) else { return };
        let delivery = Arc::clone(&held.delivery);
        let outcome = if held.caller == Caller::Sync { check_reply(&delivery, outcome) } else { outcome };
        if held.caller == Caller::Sync {
            let (kept, reply) = (SyncOutcome::of(&outcome), SyncReply::of(claim, &outcome));
            (held.outcome, held.reply) = (Some(kept), Some(reply));
        }
        let told = if held.is_keyed { held.reply.clone() } else { None };
        let mut verdict = settle(&delivery, outcome, run, self.boot.rng_key);
        if let (Verdict::Executed { reply, .. }, Some(Ok(told))) = (&mut verdict, told.map(|told| told.result)) {
            *reply = told;
        }
        self.conclude_with(claim, verdict);
    }

    /// A claim is over: its verdict goes out with the next exchange.
    pub(super) fn conclude_with(&mut self, claim: Claim, verdict: Verdict) {
        let Some(held) = self.claims.get_mut(claim) else { return };
        held.stage = Stage::Settling;
        if held.caller == Caller::Async {
            self.lanes.settling(held.delivery.trigger_id);
        }
        self.settling.push(claim, verdict);
    }

    /// A failure that the execution itself did not report.
    pub(super) fn conclude_failed(&mut self, claim: Claim, failure: Failure) {
        let Some(held) = self.claims.get_mut(claim) else { return };
        let took = held.took.unwrap_or_default();
        let run = Run { started_at: self.clock.now(self.now).minus(took), duration: took };
        self.conclude_run(claim, Outcome::Failed(failure), run);
    }

    /// Stops waiting for executions that should have reported by now.
    pub(super) fn write_off_overruns(&mut self) {
        while let Some(seq) = self.executions.overrun(self.now) {
            let Some(execution) = self.cancel(seq) else { return };
            let Some(held) = self.claims.get_mut(execution.claim) else { continue };
            let delivery = Arc::clone(&held.delivery);
            let limit = delivery.timeout.as_millis();
            self.tell(Fact::ExecutionOverran { delivery });
            let message =
                format!("did not end {} ms after its timeout of {limit} ms", self.config.overrun().as_millis());
            self.conclude(execution, Outcome::Failed(Failure::new(ExecError::Timeout, message)));
        }
    }

    /// Drops an execution and frees its permit.
    pub(super) fn cancel(&mut self, seq: u64) -> Option<Execution> {
        let execution = self.end_execution(seq)?;
        self.act(Action::Cancel { op: OpId { incarnation: self.boot.incarnation, seq } });
        Some(execution)
    }

    /// Gives back rows that have waited too long for a permit: somebody else may have one free.
    pub(super) fn defer_what_waited_too_long(&mut self) {
        for claim in self.claims.waited_too_long(self.now, self.config.queue_wait_max()) {
            let Some(trigger) = self.claims.get_mut(claim).map(|held| held.delivery.trigger_id) else { continue };
            self.lanes.unqueue(trigger, claim.delivery);
            let middle = self.config.gate_backoff().0;
            let (low, high) = (middle / 2, middle.saturating_add(middle / 2));
            // Keyed by the lease, because a deferral gives the attempt back.
            let nth = claim.lease.0 as u64;
            let delay = self.boot.rng_key.uniform(Purpose::DeferJitter, claim.delivery.0, nth, low, high);
            self.conclude_with(claim, Verdict::Deferred { delay: Micros(delay) });
        }
    }
}
