//! The executions that run, and the times at which they overrun.

use crate::claim::Claim;
use crate::delivery::Run;
use crate::gate::Caller;
use crate::names::TriggerId;
use crate::time::{Micros, Mono, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// Executions by the number of the operation that started them.
#[derive(Clone, Debug, Default)]
pub(super) struct Executions {
    running: BTreeMap<u64, Execution>,
    overruns: BTreeSet<(Mono, u64)>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Execution {
    pub(super) claim: Claim,
    pub(super) trigger: TriggerId,
    pub(super) caller: Caller,
    /// When it got its permit.
    pub(super) started: Mono,
    /// When it got its permit, by the store's clock.
    pub(super) started_at: Timestamp,
    pub(super) overrun_at: Mono,
}

impl Execution {
    /// The run of its handler, which ends at `now`. The handler began after `start_wait`.
    pub(super) fn run(&self, start_wait: Micros, now: Mono) -> Run {
        let elapsed = now.since(self.started);
        let start_wait = start_wait.min(elapsed);
        let started_at = self.started_at.plus(start_wait);
        Run { start_wait, started_at, duration: Micros(elapsed.0 - start_wait.0) }
    }
}

impl Executions {
    pub(super) fn start(&mut self, seq: u64, execution: Execution) {
        self.overruns.insert((execution.overrun_at, seq));
        self.running.insert(seq, execution);
    }

    pub(super) fn end(&mut self, seq: u64) -> Option<Execution> {
        let execution = self.running.remove(&seq)?;
        self.overruns.remove(&(execution.overrun_at, seq));
        Some(execution)
    }

    /// The first execution that has overrun.
    pub(super) fn overrun(&self, now: Mono) -> Option<u64> {
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
