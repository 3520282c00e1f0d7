//! The steps of a shutdown: claim nothing more, finish or release every held claim, and stop in a
//! bounded time.

use super::Dispatcher;
use super::claims::{HeldClaim, Stage};
use super::shutdown::Shutdown;
use crate::gate::Caller;
use crate::io::Fact;
use crate::outcome::{ExecError, Failure};

impl Dispatcher {
    /// Begins a shutdown: rows that wait for a permit are released at once, and waiting calls are
    /// refused.
    pub(super) fn request_shutdown(&mut self) {
        if self.shutdown.is_some() {
            return;
        }
        self.shutdown = Some(Shutdown::new(self.now, self.config.shutdown_grace()));
        self.outputs.emit_fact(Fact::ShutdownStarted { running: self.gate.running() });
        self.refuse_waiting_calls();
        let is_queued =
            |held: &&HeldClaim| matches!(held.stage, Stage::Queued { .. }) && held.caller() == Caller::Async;
        let queued: Vec<_> =
            self.claims.iter().filter(is_queued).map(|held| (held.delivery.trigger_id, held.claim())).collect();
        for (trigger, claim) in queued {
            self.lanes.unqueue(trigger, claim.delivery);
            self.release(claim);
        }
    }

    /// Cancels running executions after the grace period, and stops when no work is left.
    pub(super) fn advance_shutdown(&mut self) {
        let Some(shutdown) = &mut self.shutdown else { return };
        if shutdown.must_cancel(self.now) {
            self.cancel_executions();
        }
        let is_settled = self.settlements.len() == 0 && self.pending.exchange_count() == 0;
        // No new call waits for a permit: those that waited were refused.
        let has_no_calls = self.conflicted_calls.is_empty() && !self.pending.is_beginning();
        let is_replied = has_no_calls && self.replies.len() == 0;
        let is_idle = self.executions.is_empty() && is_settled && is_replied;
        if let Some(shutdown) = &mut self.shutdown {
            shutdown.advance(self.now, is_idle);
        }
    }

    /// Cancels all executions. Their rows are released and run again. A handler that begins once
    /// fails with the error `lost`, because it may have begun. So does a sync call.
    fn cancel_executions(&mut self) {
        while let Some((seq, execution)) = self.executions.first() {
            self.cancel(seq);
            let begins_once = self.claims.get(execution.claim).is_some_and(|held| held.delivery.begins_once());
            if execution.caller == Caller::Async && !begins_once {
                self.release(execution.claim);
            } else {
                let message = "the daemon was shut down before the execution ended; nothing that it wrote was applied";
                self.conclude_cancelled(execution, Failure::new(ExecError::Lost, message));
            }
        }
    }
}
