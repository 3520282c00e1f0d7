//! Shutdown: claim no more, finish or release what is held, within a bounded time.

use super::Dispatcher;
use super::claims::{Held, Stage};
use crate::claim::Claim;
use crate::delivery::Verdict;
use crate::gate::Caller;
use crate::io::Fact;
use crate::time::{Micros, Mono};

#[derive(Clone, Copy, Debug)]
pub(super) struct Shutdown {
    /// When what still runs is released.
    release_at: Mono,
    released: bool,
    /// When to stop even if the store has not taken the last settlements: their leases will run out.
    give_up_at: Mono,
    stopped: bool,
}

/// How long the last settlements may take.
const LAST_SETTLEMENTS: Micros = Micros::from_secs(2);

impl Shutdown {
    pub(super) fn next(&self) -> Option<Mono> {
        match (self.stopped, self.released) {
            (true, _) => None,
            (false, true) => Some(self.give_up_at),
            (false, false) => Some(self.release_at),
        }
    }
}

impl Dispatcher {
    pub(super) fn request_shutdown(&mut self) {
        if self.shutdown.is_some() {
            return;
        }
        let release_at = self.now.plus(self.config.shutdown_grace());
        let give_up_at = release_at.plus(LAST_SETTLEMENTS);
        self.shutdown = Some(Shutdown { release_at, released: false, give_up_at, stopped: false });
        self.tell(Fact::ShutdownStarted { running: self.gate.running() });
        self.refuse_waiting_calls();
        let waits = |held: &&Held| matches!(held.stage, Stage::Queued { .. }) && held.caller == Caller::Async;
        let queued: Vec<Claim> = self.claims.iter().filter(waits).map(Held::claim).collect();
        for claim in queued {
            if let Some(trigger) = self.claims.get_mut(claim).map(|held| held.delivery.trigger_id) {
                self.lanes.unqueue(trigger, claim.delivery);
            }
            self.release(claim);
        }
    }

    /// Gives a row back as if it had not been claimed.
    pub(super) fn release(&mut self, claim: Claim) {
        self.conclude_with(claim, Verdict::Deferred { delay: Micros::ZERO });
    }

    pub(super) fn advance_shutdown(&mut self) {
        let Some(mut shutdown) = self.shutdown else { return };
        if !shutdown.released && self.now >= shutdown.release_at {
            shutdown.released = true;
            while let Some((seq, execution)) = self.executions.first() {
                self.cancel(seq);
                match execution.caller {
                    Caller::Async => self.release(execution.claim),
                    Caller::Sync => self.end_call(execution),
                }
            }
        }
        let settled = self.settling.len() == 0 && self.exchanges.is_empty();
        let replied = self.calls.is_idle() && self.replies.len() == 0;
        let all_done = self.executions.is_empty() && settled && replied;
        shutdown.stopped = all_done || self.now >= shutdown.give_up_at;
        self.shutdown = Some(shutdown);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.shutdown.is_some_and(|shutdown| shutdown.stopped)
    }
}
