//! The simulated world: a queue of events ordered by time, and their effects. There are no threads,
//! no clocks and no randomness except the plan's seed.

mod clients;
mod clock;
mod daemon;
mod faults;
mod handlers;
mod inline_claims;
mod store;

pub(crate) use clients::SEVERAL_LANES;
#[cfg(madsim)]
pub(crate) use clients::{chain, emission, event, key_of, put, script, selection, set_paused};
#[cfg(madsim)]
pub(crate) use daemon::config;
pub(crate) use daemon::incarnation;
pub(crate) use handlers::{ONLY_ATTEMPT_FAILED, long_message};
#[cfg(madsim)]
pub(crate) use handlers::{POISON_DOWN, failed, handler_failure, not_started, outcome, start_wait};
#[cfg(madsim)]
pub(crate) use inline_claims::as_exchange;

use crate::app::{self, app};
use crate::checkers::{Checkers, Observation, Snapshot, Trouble, Violation};
use crate::cost::Cost;
use crate::draw::Draw;
use crate::plan::{Plan, TriggerChange};
use crate::probes::Probes;
use crate::sabotage::{Bug, Saboteur, deploy};
use crate::trace::{Trace, TraceMode};
use daemon::Daemon;
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::{Claim, InboxId, Input, Micros, OpId, Outcome, Request, Timestamp, TriggerId};
use tidegate_io_sim::Memory;
use tidegate_ports::{DeliveryFilter, PageSize};

/// The longest time from the end of all faults to the end of all deliveries. It is several times
/// the longest lease, chain of attempts and shutdown.
const DRAIN_MAX: u64 = 120_000_000;
/// A poll, a claim and the exchanges in flight.
const WAIT_MAX: u64 = 300_000;
/// The interval of latency samples.
const SAMPLE_EVERY: u64 = 50_000;

/// The longest travel time of a request or an answer without a fault.
const LATENCY_MAX: u64 = 600;

enum Event {
    Step(usize),
    Fault(usize),
    /// An input reaches a daemon in this life.
    Reach {
        daemon: usize,
        life: u64,
        input: Input,
    },
    /// A store call is applied, and answered after each of the delays in `answers`.
    Apply {
        daemon: usize,
        life: u64,
        op: OpId,
        request: Request,
        answers: Vec<u64>,
    },
    Finish {
        daemon: usize,
        life: u64,
        op: OpId,
        outcome: Outcome,
        start_wait: Micros,
    },
    /// The handler of an execution begins, after its start wait.
    HandlerBegins {
        daemon: usize,
        life: u64,
        op: OpId,
    },
    Tick {
        daemon: usize,
        life: u64,
    },
    HangUp {
        daemon: usize,
        life: u64,
        inbox: InboxId,
    },
    /// A daemon dies while this execution runs.
    DieRunning {
        daemon: usize,
        op: OpId,
        down: u64,
    },
    Begin {
        daemon: usize,
    },
    /// A daemon's clock runs at its normal rate again.
    ClockHeals {
        daemon: usize,
    },
    Resume {
        trigger: String,
    },
    Enable,
    /// The app is deployed as at the start.
    Redeploy,
    /// Saves the state of the store, to which the fault with this number goes back.
    Save(usize),
    Sample,
}

impl Event {
    /// True if this event may create deliveries or claims.
    fn makes_work(&self) -> bool {
        match self {
            Self::Step(_) | Self::Fault(_) | Self::Begin { .. } | Self::Resume { .. } => true,
            Self::Enable | Self::Redeploy => true,
            Self::Apply { request, .. } => matches!(request, Request::BeginCalls { .. } | Request::Exchange { .. }),
            Self::DieRunning { .. } => true,
            _ => false,
        }
    }
}

/// Options of a run.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    pub mode: TraceMode,
    pub bug: Option<Bug>,
    /// The name of a checker to leave out.
    pub without: Option<&'a str>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { mode: TraceMode::Nothing, bug: None, without: None }
    }
}

/// The state of one run.
pub(crate) struct World {
    plan: Plan,
    now: u64,
    order: u64,
    queue: BTreeMap<(u64, u64), Box<Event>>,
    /// The number of queued events that may create deliveries or claims.
    work: u32,
    store: Memory,
    /// The error of the store's clock, in microseconds.
    store_skew: i64,
    /// The states to which faults will take the store back, by the number of the fault.
    saved: BTreeMap<usize, Memory>,
    is_restored: bool,
    daemons: Vec<Daemon>,
    /// The latest trouble of each daemon.
    trouble: Vec<Trouble>,
    /// The claim of each execution.
    executions: BTreeMap<OpId, Claim>,
    /// The end of the last outage of the store.
    outage_until: u64,
    /// Triggers whose destination is down, and the end of that fault.
    down: BTreeMap<String, u64>,
    page: TriggerId,
    draw: Draw,
    checkers: Checkers,
    checks_progress: bool,
    bug: Option<Bug>,
    /// Ids that a planted bug stores.
    sabotage_memory: BTreeSet<i64>,
    /// Exchanges that contained settlements.
    settling_ops: BTreeSet<OpId>,
    pub(crate) probes: Probes,
    pub(crate) trace: Trace,
    pub(crate) cost: Cost,
    /// Whether a daemon gets more inputs before its outputs are taken.
    collects_inputs: bool,
}

impl World {
    pub(crate) fn new(plan: &Plan, options: Options<'_>) -> Self {
        let (store, page) = app::deployed();
        let mut world = Self {
            plan: plan.clone(),
            now: 0,
            order: 0,
            queue: BTreeMap::new(),
            work: 0,
            store,
            store_skew: 0,
            saved: BTreeMap::new(),
            is_restored: false,
            daemons: Vec::new(),
            trouble: vec![Trouble::default(); plan.daemons],
            executions: BTreeMap::new(),
            outage_until: 0,
            down: BTreeMap::new(),
            page,
            draw: Draw::new(plan.seed, "world"),
            checkers: Checkers::without(options.without),
            checks_progress: options.without != Some("progress"),
            bug: options.bug,
            sabotage_memory: BTreeSet::new(),
            settling_ops: BTreeSet::new(),
            probes: Probes::default(),
            trace: Trace::new(options.mode),
            cost: Cost::default(),
            collects_inputs: false,
        };
        plan.saves().for_each(|(at, fault)| world.at(at, Event::Save(fault)));
        for daemon in 0..plan.daemons {
            world.daemons.push(Daemon::before_first_life(plan.settings));
            world.at(0, Event::Begin { daemon });
        }
        for (n, (at, _)) in plan.steps.iter().enumerate() {
            world.at(*at, Event::Step(n));
        }
        for (n, (at, _)) in plan.faults.iter().enumerate() {
            world.at(*at, Event::Fault(n));
        }
        world.at(SAMPLE_EVERY, Event::Sample);
        world
    }

    fn saboteur(&self) -> Saboteur<'_> {
        Saboteur { bug: self.bug, store: &self.store }
    }

    /// The simulated time, in microseconds.
    pub(crate) fn lasted(&self) -> u64 {
        self.now
    }

    fn at(&mut self, time: u64, event: Event) {
        self.order += 1;
        self.work += u32::from(event.makes_work());
        self.queue.insert((time.max(self.now), self.order), Box::new(event));
    }

    /// Plays the plan to its end.
    pub(crate) fn play(&mut self) -> Result<(), Violation> {
        while let Some(((time, _), event)) = self.queue.pop_first() {
            self.now = time;
            self.work -= u32::from(event.makes_work());
            self.trace.at(time);
            self.store.set_now(Timestamp(app::EPOCH + time as i64 + self.store_skew));
            self.happen(*event)?;
            if self.is_over() {
                return self.observe(&Observation::RunEnded);
            }
            if self.now > self.plan.heal_at + DRAIN_MAX {
                return if self.checks_progress { Err(self.stuck()) } else { Ok(()) };
            }
        }
        Err(self.stuck())
    }

    fn is_over(&self) -> bool {
        let is_quiet = |daemon: &Daemon| {
            let view = daemon.view();
            daemon.is_alive && view.held == 0 && view.replying == 0 && view.calls_waiting == 0 && view.lanes == 0
        };
        self.now > self.plan.heal_at
            && self.work == 0
            && self.store.outbox_len() == 0
            && self.daemons.iter().all(is_quiet)
    }

    fn stuck(&self) -> Violation {
        let filter = DeliveryFilter { size: PageSize::of(3), ..DeliveryFilter::default() };
        let rows = self.store.deliveries(&app(), &filter).map(|page| page.items).unwrap_or_default();
        let views: Vec<_> = self.daemons.iter().map(|daemon| (daemon.is_alive, daemon.view())).collect();
        Violation { checker: "progress", what: format!("some deliveries have not ended: {rows:?}, {views:?}") }
    }

    /// True until the first fault.
    fn is_well(&self) -> bool {
        self.trouble.iter().all(|trouble| trouble.until == 0)
    }

    /// Shows an observation to all checkers.
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        let snapshot = Snapshot {
            now: self.now,
            store: &self.store,
            settings: self.plan.settings,
            is_restored: self.is_restored,
            wait_max: WAIT_MAX,
            trouble: &self.trouble,
        };
        self.checkers.observe(observation, &snapshot, &mut self.probes)
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Step(n) => self.step(n),
            Event::Fault(n) => self.fault(n),
            Event::Reach { daemon, life, input } => self.reach(daemon, life, input),
            Event::Finish { daemon, life, op, outcome, start_wait } => {
                self.finish(daemon, life, op, outcome, start_wait)
            }
            Event::HandlerBegins { daemon, life, op } => self.handler_begins(daemon, life, op),
            Event::Tick { daemon, life } => self.tick(daemon, life),
            Event::HangUp { daemon, life, inbox } => self.hang_up(daemon, life, inbox),
            Event::Apply { daemon, life, op, request, answers } => self.apply(daemon, life, op, request, answers),
            Event::DieRunning { daemon, op, down } => self.die_running(daemon, op, down),
            Event::Begin { daemon } => self.begin(daemon),
            Event::ClockHeals { daemon } => self.clock_heals(daemon),
            Event::Resume { trigger } => {
                self.set_paused(&trigger, false);
                Ok(())
            }
            Event::Enable => {
                self.set_disabled(false);
                Ok(())
            }
            Event::Redeploy => {
                deploy(self.bug, &mut self.store, &TriggerChange::None, &mut self.sabotage_memory);
                Ok(())
            }
            Event::Save(fault) => {
                self.saved.insert(fault, self.store.clone());
                self.checkers.save(fault);
                Ok(())
            }
            Event::Sample => self.sample(),
        }
    }

    /// Takes a latency sample. `has_room` is false while a fault has effects.
    fn sample(&mut self) -> Result<(), Violation> {
        self.at(self.now + SAMPLE_EVERY, Event::Sample);
        let last_trouble = self.trouble.iter().map(|trouble| trouble.until).max().unwrap_or_default();
        let is_well = last_trouble == 0 || self.now > last_trouble + app::AFTER_EFFECTS;
        let has_room = is_well && self.daemons.iter().any(Daemon::has_room);
        self.observe(&Observation::LatencySample { has_room })
    }

    /// The end of a fault of this length, at the latest `heal_at`.
    fn until(&self, length: u64) -> u64 {
        (self.now + length).min(self.plan.heal_at.max(self.now))
    }
}
