//! The store and the checkers, outside of every node: what happens to a process does not happen to them.

use super::Played;
use crate::checkers::{Checkers, Life, Observation, Snapshot, Trouble, Violation};
use crate::plan::Plan;
use crate::probes::Probes;
use crate::sabotage::Bug;
use crate::trace::{Trace, TraceMode};
use crate::world::{EPOCH, deployed};
use madsim::time::Instant;
use std::collections::BTreeSet;
use tidegate_core::{OpId, Reply, Request, Timestamp, TriggerId};
use tidegate_io_sim::Memory;

/// What needs the numbers of operations, or to know every trouble, is the other tier's.
const ELSEWHERE: [&str; 11] =
    ["callers", "facts", "metrics", "expiry", "stale", "latency", "bounds", "views", "fairness", "hoarding", "wakes"];

pub(super) struct Referee {
    plan: Plan,
    started: Option<Instant>,
    memory: Memory,
    pub(super) page: TriggerId,
    checkers: Checkers,
    probes: Probes,
    trace: Trace,
    trouble: Vec<Trouble>,
    violation: Option<Violation>,
    bug: Option<Bug>,
    spoilt: BTreeSet<i64>,
    applied: u64,
    executions: u64,
}

impl Referee {
    pub(super) fn new(plan: &Plan, mode: TraceMode, bug: Option<Bug>) -> Self {
        let (memory, page) = deployed();
        Self {
            plan: plan.clone(),
            started: None,
            memory,
            page,
            checkers: Checkers::but(&ELSEWHERE),
            probes: Probes::default(),
            trace: Trace::new(mode),
            // Packets may be lost at any time: nobody is ever certainly well.
            trouble: vec![Trouble { until: 1, ..Trouble::default() }; plan.daemons],
            violation: None,
            bug,
            spoilt: BTreeSet::new(),
            applied: 0,
            executions: 0,
        }
    }

    pub(super) fn start(&mut self, at: Instant) {
        self.started = Some(at);
    }

    fn elapsed(&self) -> u64 {
        let elapsed = self.started.map(|started| started.elapsed().as_micros()).unwrap_or_default();
        u64::try_from(elapsed).unwrap_or(u64::MAX)
    }

    /// The store, now.
    pub(super) fn store(&mut self) -> &mut Memory {
        let now = self.elapsed();
        self.trace.at(now);
        self.memory.set_now(Timestamp(EPOCH + now as i64));
        &mut self.memory
    }

    pub(super) fn observe(&mut self, observation: &Observation<'_>) {
        if self.violation.is_some() {
            return;
        }
        let now = self.elapsed();
        self.store();
        let snapshot = Snapshot { now, store: &self.memory, settings: self.plan.settings, trouble: &self.trouble };
        self.violation = self.checkers.observe(observation, &snapshot, &mut self.probes).err();
    }

    /// The store does what a life asks it.
    pub(super) fn apply(&mut self, of: Life, op: OpId, request: &Request) -> Reply {
        self.store();
        let reply = match self.bug {
            None => self.memory.call(request.clone()),
            Some(bug) => bug.apply(&mut self.memory, request.clone(), &mut self.spoilt),
        };
        self.applied += 1;
        self.trace.note(&(of.daemon, of.life, request, &reply));
        self.tell(|| format!("store: {} of daemon {}", request.name(), of.daemon));
        self.observe(&Observation::StoreApplied { of, op, request, reply: &reply });
        reply
    }

    pub(super) fn tell(&mut self, what: impl FnOnce() -> String) {
        let now = self.elapsed();
        self.trace.at(now);
        self.trace.tell(what);
    }

    /// A number for an execution.
    pub(super) fn next_execution(&mut self) -> u64 {
        self.executions += 1;
        self.executions
    }

    pub(super) fn stuck(&mut self, what: String) {
        self.violation.get_or_insert(Violation { checker: "progress", what });
    }

    /// Whether a promise was broken: then nothing more is to be seen.
    pub(super) fn is_done(&self) -> bool {
        self.violation.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.memory.outbox_len() == 0
    }

    pub(super) fn finish(&mut self, lasted: u64) -> Played {
        let (timeline, hash) = std::mem::replace(&mut self.trace, Trace::new(TraceMode::Nothing)).finish();
        Played { violation: self.violation.take(), applied: self.applied, lasted, hash, timeline }
    }
}
