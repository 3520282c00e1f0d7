//! The store, the checkers and the state of each daemon. They live outside of every node and
//! survive crashes.

use super::ClusterOutcome;
use super::clock::SkewedClock;
use super::daemon_state::DaemonState;
use crate::app::{AFTER_EFFECTS, EPOCH, deployed, repair};
use crate::checkers::{Checkers, DriverEvent, Life, Observation, Snapshot, Trouble, Violation};
use crate::draw::Draw;
use crate::plan::{CallFault, CrashPoint, Fault, Plan, Settings, StoreFault, TriggerChange, Version};
use crate::probes::{Probe, Probes};
use crate::sabotage::{Bug, Saboteur, deploy, end_claims, lose_claims};
use crate::trace::{Trace, TraceMode};
use madsim::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::{Claim, InboxId, Micros, OpId, Outcome, Reply, Request, Timestamp, TriggerId};
use tidegate_io_sim::Memory;
use tidegate_ports::{DeliveryFilter, PageSize};
use tokio::sync::mpsc;

/// A poll, a claim and the exchanges in flight. A round trip takes up to 6 ms on the simulated
/// network, and discoveries take at most 1 % of the time.
const WAIT_MAX: u64 = 1_000_000;

pub(super) struct Referee {
    pub(super) plan: Plan,
    started: Option<Instant>,
    memory: Memory,
    /// The offset of the store's clock, in microseconds.
    store_skew: i64,
    /// The states to which faults will take the store back, by the number of the fault.
    saved: BTreeMap<usize, Memory>,
    is_restored: bool,
    pub(super) page: TriggerId,
    pub(super) draw: Draw,
    pub(super) daemons: Vec<DaemonState>,
    /// Destinations that are down, by trigger.
    pub(super) down: BTreeMap<String, u64>,
    /// The end of the last outage of the store.
    pub(super) outage_until: u64,
    /// Requests that wait in the store.
    pub(super) waiting_requests: u32,
    /// Announces deaths to the task that kills and restarts nodes: the daemon, and its downtime.
    deaths: Option<mpsc::UnboundedSender<(usize, u64)>>,
    checkers: Checkers,
    pub(super) probes: Probes,
    pub(super) trace: Trace,
    trouble: Vec<Trouble>,
    violation: Option<Violation>,
    is_over: bool,
    pub(super) bug: Option<Bug>,
    sabotage_memory: BTreeSet<i64>,
    applied: u64,
    executions: u64,
}

/// Removes the action that a port call belongs to.
fn take<K: PartialEq>(actions: &mut Vec<(OpId, K)>, key: &K) -> Option<OpId> {
    let at = actions.iter().position(|(_, other)| other == key)?;
    Some(actions.remove(at).0)
}

impl Referee {
    pub(super) fn new(plan: &Plan, mode: TraceMode, bug: Option<Bug>, is_lossy: bool) -> Self {
        let (memory, page) = deployed();
        // While packets get lost, no daemon is known to be healthy.
        let until = if is_lossy { plan.heal_at + AFTER_EFFECTS } else { 0 };
        Self {
            plan: plan.clone(),
            started: None,
            memory,
            store_skew: 0,
            saved: BTreeMap::new(),
            is_restored: false,
            page,
            draw: Draw::new(plan.seed, "cluster"),
            daemons: (0..plan.daemons).map(|_| DaemonState::before_first_life(plan.settings)).collect(),
            down: BTreeMap::new(),
            outage_until: 0,
            waiting_requests: 0,
            deaths: None,
            checkers: Checkers::of_cluster(),
            probes: Probes::default(),
            trace: Trace::new(mode),
            trouble: vec![Trouble { until, ..Trouble::default() }; plan.daemons],
            violation: None,
            is_over: false,
            bug,
            sabotage_memory: BTreeSet::new(),
            applied: 0,
            executions: 0,
        }
    }

    pub(super) fn start(&mut self, at: Instant, deaths: mpsc::UnboundedSender<(usize, u64)>) {
        (self.started, self.deaths) = (Some(at), Some(deaths));
    }

    /// The simulated time, in microseconds.
    pub(super) fn now(&self) -> u64 {
        let elapsed = self.started.map(|started| started.elapsed().as_micros()).unwrap_or_default();
        u64::try_from(elapsed).unwrap_or(u64::MAX)
    }

    /// The end of a fault of this length, at the latest `heal_at`.
    pub(super) fn until(&self, length: u64) -> u64 {
        let now = self.now();
        (now + length).min(self.plan.heal_at.max(now))
    }

    pub(super) fn has_faults(&self) -> bool {
        self.now() < self.plan.heal_at
    }

    /// The store, with its clock set.
    pub(super) fn store(&mut self) -> &mut Memory {
        let now = self.now();
        self.trace.at(now);
        self.memory.set_now(Timestamp(EPOCH + now as i64 + self.store_skew));
        &mut self.memory
    }

    pub(super) fn saboteur(&self) -> Saboteur<'_> {
        Saboteur { bug: self.bug, store: &self.memory }
    }

    pub(super) fn set_store_clock(&mut self, by: i64) {
        self.store_skew += by;
        let until = self.now() + Fault::store_clock_effects(by);
        (0..self.daemons.len()).for_each(|daemon| self.trouble(daemon, until));
    }

    pub(super) fn deploy(&mut self, change: &TriggerChange) {
        self.store();
        deploy(self.bug, &mut self.memory, change, &mut self.sabotage_memory);
    }

    /// Saves the state of the store, to which the fault with this number goes back.
    pub(super) fn save_store(&mut self, fault: usize) {
        self.saved.insert(fault, self.memory.clone());
        self.checkers.save(fault);
    }

    /// Takes the store back to the state that was saved for this fault.
    pub(super) fn restore_store(&mut self, fault: usize) {
        let Some(saved) = self.saved.remove(&fault) else { return };
        self.store().restore(&saved);
        lose_claims(self.bug, &self.memory, &mut self.sabotage_memory);
        self.checkers.restore(fault);
        self.is_restored = true;
        repair(&mut self.memory);
        let until = self.now() + 1;
        (0..self.daemons.len()).for_each(|daemon| self.trouble(daemon, until));
        self.observe(&Observation::Restored);
    }

    /// Records that a fault affects a daemon until `until`.
    pub(super) fn trouble(&mut self, daemon: usize, until: u64) {
        let trouble = &mut self.trouble[daemon];
        trouble.until = trouble.until.max(until);
    }

    pub(super) fn pause(&mut self, daemon: usize, until: u64) {
        self.trouble[daemon].paused_until = until;
        self.trouble(daemon, until);
    }

    pub(super) fn is_paused(&self, daemon: usize) -> bool {
        self.trouble[daemon].paused_until > self.now()
    }

    pub(super) fn observe(&mut self, observation: &Observation<'_>) {
        if self.violation.is_some() || self.is_over {
            return;
        }
        self.store();
        let now = self.now();
        let snapshot = Snapshot {
            now,
            store: &self.memory,
            settings: self.plan.settings,
            is_restored: self.is_restored,
            wait_max: WAIT_MAX,
            trouble: &self.trouble,
        };
        self.violation = self.checkers.observe(observation, &snapshot, &mut self.probes).err();
    }

    /// Shows an event of a driver to the checkers, if its life goes on.
    pub(super) fn report(&mut self, of: Life, event: DriverEvent<'_>) {
        if self.is_current(of) || matches!(event, DriverEvent::PortDropped(_)) {
            self.observe(&Observation::Driver { of, event });
        }
    }

    /// Takes a latency sample. `has_room` is whether a daemon has room for another lane.
    pub(super) fn sample(&mut self, has_room: bool) {
        let last_trouble = self.trouble.iter().map(|trouble| trouble.until).max().unwrap_or_default();
        let is_well = last_trouble == 0 || self.now() > last_trouble + AFTER_EFFECTS;
        self.observe(&Observation::LatencySample { has_room: is_well && has_room });
    }

    pub(super) fn is_current(&self, of: Life) -> bool {
        let daemon = &self.daemons[of.daemon];
        daemon.is_alive && daemon.life == of.life
    }

    /// Begins the next life of a daemon.
    pub(super) fn begin(&mut self, daemon: usize, clock: SkewedClock) -> (Life, Settings) {
        let state = &mut self.daemons[daemon];
        state.life += 1;
        state.is_alive = true;
        state.version = state.settings.version;
        state.clock = Some(clock);
        let (of, settings) = (Life { daemon, life: state.life }, state.settings);
        self.trouble[daemon].life = of.life;
        self.trouble[daemon].is_alive = true;
        self.tell(|| format!("daemon {daemon}: life {} begins", of.life));
        let leases: BTreeSet<u64> = self.daemons.iter().map(|daemon| daemon.settings.lease_ms).collect();
        self.probes.sometimes(Probe::RolledOut, leases.len() > 1);
        let has_another = |other: &DaemonState| other.is_alive && other.version != settings.version;
        self.probes.sometimes(Probe::TwoVersions, self.daemons.iter().any(has_another));
        self.succeed(of);
        let batch_max = Some(settings.batch_max);
        self.observe(&Observation::Configured { of, gate: settings.gate, batch_max });
        (of, settings)
    }

    /// The store ends the claims of the earlier lives of a daemon. It does not if it cannot be
    /// reached, or if the daemon has another name now.
    fn succeed(&mut self, of: Life) {
        let (one, now) = (&self.daemons[of.daemon], self.now());
        let is_reached = self.outage_until <= now && one.cut_until <= now;
        let has_name = one.version == Version::Current && !(self.plan.seed + of.life).is_multiple_of(3);
        let claims = self.checkers.claims_of(of.daemon);
        if !is_reached || !has_name || claims.is_empty() {
            return;
        }
        let bug = self.bug;
        let has_ended = end_claims(bug, self.store(), &claims);
        self.probes.sometimes(Probe::Succeeded, has_ended);
        self.observe(&Observation::ClaimsEnded { claims: &claims });
    }

    /// Ends a life, with its executions.
    pub(super) fn end(&mut self, of: Life) {
        if !self.is_current(of) {
            return;
        }
        self.trouble[of.daemon].is_alive = false;
        for (op, claim) in std::mem::take(&mut self.daemons[of.daemon].running) {
            self.observe(&Observation::ExecutionEnded { op, claim, outcome: None });
        }
        self.daemons[of.daemon].forget_life();
        self.observe(&Observation::LifeEnded { of });
    }

    /// Crashes the daemon if it is to die at this point; true if it did.
    pub(super) fn crashes_at(&mut self, daemon: usize, point: CrashPoint) -> bool {
        let next_crash = self.daemons[daemon].next_crash.filter(|(next_crash, _)| *next_crash == point);
        let Some((_, down)) = next_crash.filter(|_| self.has_faults()) else { return false };
        self.crash(daemon, point, down);
        true
    }

    /// Ends the life of a daemon at once. Its node is killed before any of its tasks runs again.
    pub(super) fn crash(&mut self, daemon: usize, point: CrashPoint, down: u64) {
        if !self.daemons[daemon].is_alive {
            return;
        }
        self.probes.sometimes(point.probe(), true);
        self.tell(|| format!("daemon {daemon}: crashes ({point:?})"));
        self.end(Life { daemon, life: self.daemons[daemon].life });
        let down = self.until(down) - self.now();
        // The receiver lives as long as the run.
        self.deaths.as_ref().and_then(|deaths| deaths.send((daemon, down)).ok());
    }

    /// The number of a store call that the dispatcher makes; sets its fault if it has one.
    pub(super) fn count_call(&mut self, daemon: usize) {
        let state = &mut self.daemons[daemon];
        state.calls += 1;
        match state.call_faults.remove(&state.calls) {
            Some(CallFault::Crash(at)) => state.next_crash = Some((at, 100_000)),
            Some(CallFault::Store(fault)) => state.store_faults.push_front(fault),
            None => {}
        }
    }

    pub(super) fn expect_store_call(&mut self, daemon: usize, op: OpId, request: Request) {
        self.daemons[daemon].store_calls.push((op, request));
    }

    pub(super) fn expect_reply(&mut self, daemon: usize, op: OpId, inbox: InboxId) {
        self.daemons[daemon].replies.push((op, inbox));
    }

    /// Records that an execution starts.
    pub(super) fn expect_execution(&mut self, daemon: usize, op: OpId, claim: Claim) {
        self.daemons[daemon].running.insert(op, claim);
        self.daemons[daemon].executions.push((op, claim));
    }

    /// The action of a store call, and its fault.
    pub(super) fn take_store_call(&mut self, of: Life, request: &Request) -> Option<(OpId, Option<StoreFault>)> {
        if !self.is_current(of) {
            return None;
        }
        let has_faults = self.has_faults();
        let state = &mut self.daemons[of.daemon];
        let op = take(&mut state.store_calls, request)?;
        let fault = if has_faults { state.store_faults.pop_front() } else { None };
        self.report(of, DriverEvent::PortCalled(op));
        Some((op, fault))
    }

    /// The action of an execution.
    pub(super) fn take_execution(&mut self, of: Life, claim: Claim) -> Option<OpId> {
        let op = take(&mut self.daemons[of.daemon].executions, &claim).filter(|_| self.is_current(of))?;
        self.report(of, DriverEvent::PortCalled(op));
        Some(op)
    }

    /// The action of a reply.
    pub(super) fn take_reply(&mut self, of: Life, inbox: InboxId) -> Option<OpId> {
        let op = take(&mut self.daemons[of.daemon].replies, &inbox).filter(|_| self.is_current(of))?;
        self.report(of, DriverEvent::PortCalled(op));
        Some(op)
    }

    /// Records that the handler of an execution begins.
    pub(super) fn handler_began(&mut self, of: Life, op: OpId) {
        if self.is_current(of) {
            self.observe(&Observation::HandlerBegan { op });
        }
    }

    /// Ends an execution. Without an outcome, the execution was cancelled.
    pub(super) fn end_execution(&mut self, daemon: usize, op: OpId, outcome: Option<&Outcome>) {
        let state = &mut self.daemons[daemon];
        state.executions.retain(|(other, _)| *other != op);
        if let Some(claim) = state.running.remove(&op) {
            self.observe(&Observation::ExecutionEnded { op, claim, outcome });
        }
    }

    /// The executions of a daemon.
    pub(super) fn running(&self, daemon: usize) -> Vec<OpId> {
        self.daemons[daemon].running.keys().copied().collect()
    }

    /// True if this was an exchange with settlements that was applied.
    pub(super) fn has_settled(&self, daemon: usize, op: OpId) -> bool {
        self.daemons[daemon].settling_ops.contains(&op)
    }

    /// Applies a request of a life to the store.
    pub(super) fn apply(&mut self, of: Life, op: OpId, request: &Request) -> Reply {
        self.store();
        let moved_back = self.memory.moved_back();
        let reply = match self.bug {
            None => self.memory.call(request.clone()),
            Some(bug) => bug.apply(&mut self.memory, of.daemon, request.clone(), &mut self.sabotage_memory),
        };
        if self.memory.moved_back() > moved_back {
            let by = Micros(self.memory.moved_back().0 - moved_back.0);
            self.observe(&Observation::TimesMoved { by });
        }
        self.applied += 1;
        self.trace.note(&(of.daemon, of.life, request, &reply));
        self.trace.tell_applied(of.daemon, request, &reply);
        self.observe(&Observation::StoreApplied { of, op, request, reply: &reply });
        if self.is_current(of) && !self.crashes_at(of.daemon, CrashPoint::Applied) {
            let is_settlement = matches!(request, Request::Exchange { settle, .. } if !settle.is_empty());
            if is_settlement {
                self.daemons[of.daemon].settling_ops.insert(op);
            }
        }
        reply
    }

    pub(super) fn tell(&mut self, what: impl FnOnce() -> String) {
        let now = self.now();
        self.trace.at(now);
        self.trace.tell(what);
    }

    /// Adds a value to the hash of the run.
    pub(super) fn note(&mut self, what: &impl std::fmt::Debug) {
        let now = self.now();
        self.trace.at(now);
        self.trace.note(what);
    }

    /// A number for an execution.
    pub(super) fn next_execution(&mut self) -> u64 {
        self.executions += 1;
        self.executions
    }

    pub(super) fn stuck(&mut self, views: &str) {
        let filter = DeliveryFilter { size: PageSize::of(3), ..DeliveryFilter::default() };
        let rows = self.store().deliveries(&crate::app::app(), &filter).map(|page| page.items).unwrap_or_default();
        let what = format!("some deliveries have not ended: {rows:?}, {views}");
        self.violation.get_or_insert(Violation { checker: "progress", what });
    }

    /// Ends the run. What happens to its processes is no longer observed.
    pub(super) fn end_run(&mut self) {
        self.observe(&Observation::RunEnded);
        self.is_over = true;
    }

    /// True if a promise was broken. The run ends then.
    pub(super) fn is_broken(&self) -> bool {
        self.violation.is_some()
    }

    /// True if no request waits in the store and no delivery in its outbox.
    pub(super) fn is_empty(&self) -> bool {
        self.memory.outbox_len() == 0 && self.waiting_requests == 0
    }

    pub(super) fn finish(&mut self, lasted: u64) -> ClusterOutcome {
        let (timeline, hash) = std::mem::replace(&mut self.trace, Trace::new(TraceMode::Nothing)).finish();
        let probes = std::mem::take(&mut self.probes);
        ClusterOutcome { violation: self.violation.take(), probes, applied: self.applied, lasted, hash, timeline }
    }
}
