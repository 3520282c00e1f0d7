//! The executions that run, and the times at which they overrun.

use crate::claim::Claim;
use crate::gate::Caller;
use crate::names::TriggerId;
use crate::time::{Mono, Timestamp};
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
    pub(super) started: Mono,
    /// The start by the store's clock.
    pub(super) started_at: Timestamp,
    pub(super) overrun_at: Mono,
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
