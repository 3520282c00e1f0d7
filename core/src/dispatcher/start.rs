//! The start of executions: queued rows of lanes, and sync calls that have a permit.

use super::Dispatcher;
use super::claims::Stage;
use super::executions::Execution;
use crate::claim::Claim;
use crate::delivery::Delivery;
use crate::gate::Caller;
use crate::io::{Action, Fact};
use crate::names::{OpId, TriggerId};
use crate::time::Micros;
use std::sync::Arc;

impl Dispatcher {
    /// Starts queued rows while permits are free.
    pub(super) fn start_queued(&mut self) {
        if self.shutdown.is_some() {
            return;
        }
        let reserve = self.capacity().lane_reserve();
        while let free @ 1.. = self.gate.free(Caller::Async) {
            let Some((trigger, delivery)) = self.lanes.next_to_start(free > reserve) else { return };
            let held = self.claims.of(delivery).filter(|held| matches!(held.stage, Stage::Queued { .. }));
            match held.map(|held| held.claim()) {
                Some(claim) => self.start_row(trigger, claim),
                None => self.lanes.ended(trigger),
            }
        }
    }

    /// Starts a row of a lane, unless its lease may have expired: then another daemon may have
    /// claimed it. Such a row is released. If it were only dropped, renewals for other rows of its
    /// claim could keep it from all daemons.
    fn start_row(&mut self, trigger: TriggerId, claim: Claim) {
        let op = self.outputs.next_op();
        let Some(held) = self.claims.get(claim) else { return };
        let (delivery, is_leased) = (Arc::clone(&held.delivery), self.now < held.leased_until);
        if !is_leased {
            self.lanes.ended(trigger);
            return self.release(claim);
        }
        let is_admitted = self.gate.try_admit(Caller::Async);
        debug_assert!(is_admitted, "start_queued starts a row only while a permit is free");
        let waited = self.clock.now(self.now).since(delivery.due_at);
        self.start(op, delivery, Caller::Async, waited);
    }

    /// Starts a sync call that has a permit.
    pub(super) fn start_call(&mut self, claim: Claim) {
        let op = self.outputs.next_op();
        let Some(held) = self.claims.get(claim) else { return self.gate.release(Caller::Sync) };
        if let Some(call) = &held.call {
            self.call_shares.started(op.seq, call.app.clone());
        }
        let waited = match held.stage {
            Stage::Queued { since } => self.now.since(since),
            _ => Micros::ZERO,
        };
        self.start(op, Arc::clone(&held.delivery), Caller::Sync, waited);
    }

    fn start(&mut self, op: OpId, delivery: Arc<Delivery>, caller: Caller, waited: Micros) {
        let claim = delivery.claim();
        self.claims.start(claim, op.seq);
        let execution = Execution {
            claim,
            trigger: delivery.trigger_id,
            caller,
            started: self.now,
            started_at: self.clock.now(self.now),
            overrun_at: self.now.plus(self.config.start_wait_max()).plus(delivery.timeout).plus(self.config.overrun()),
        };
        self.executions.start(op.seq, execution);
        self.outputs.emit_fact(Fact::ExecutionStarted { waited, delivery: Arc::clone(&delivery) });
        self.outputs.push_action(Action::Execute { op, delivery });
    }
}
