//! The store and the checkers. They live outside of every node and survive crashes.

use super::ClusterOutcome;
use crate::app::{EPOCH, deployed};
use crate::checkers::{Checkers, Life, Observation, Snapshot, Trouble, Violation};
use crate::plan::Plan;
use crate::probes::Probes;
use crate::sabotage::Bug;
use crate::trace::{Trace, TraceMode};
use madsim::time::Instant;
use std::collections::BTreeSet;
use tidegate_core::{OpId, Reply, Request, Timestamp, TriggerId};
use tidegate_io_sim::Memory;

/// Checkers that need operation numbers or the trouble of each daemon. They run in tier 1 only.
const TIER_1_ONLY: [&str; 13] = [
    "callers",
    "facts",
    "metrics",
    "expiry",
    "stale",
    "latency",
    "bounds",
    "views",
    "fairness",
    "turns",
    "hoarding",
    "wakes",
    "stragglers",
];

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
    sabotage_memory: BTreeSet<i64>,
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
            checkers: Checkers::but(&TIER_1_ONLY),
            probes: Probes::default(),
            trace: Trace::new(mode),
            // Packets may be lost at any time, so no daemon is ever known to be healthy.
            trouble: vec![Trouble { until: 1, ..Trouble::default() }; plan.daemons],
            violation: None,
            bug,
            sabotage_memory: BTreeSet::new(),
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

    /// The store, with its clock set.
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

    /// Applies a request of a life to the store.
    pub(super) fn apply(&mut self, of: Life, op: OpId, request: &Request) -> Reply {
        self.store();
        let reply = match self.bug {
            None => self.memory.call(request.clone()),
            Some(bug) => bug.apply(&mut self.memory, request.clone(), &mut self.sabotage_memory),
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

    /// True if a promise was broken. The run ends then.
    pub(super) fn is_done(&self) -> bool {
        self.violation.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.memory.outbox_len() == 0
    }

    pub(super) fn finish(&mut self, lasted: u64) -> ClusterOutcome {
        let (timeline, hash) = std::mem::replace(&mut self.trace, Trace::new(TraceMode::Nothing)).finish();
        ClusterOutcome { violation: self.violation.take(), applied: self.applied, lasted, hash, timeline }
    }
}
