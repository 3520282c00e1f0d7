//! Checkers: one promise per file. All of them watch one stream of observations. The first
//! violation ends the run.

mod attempts;
mod backoff;
mod bounds;
mod callers;
mod calls;
mod claims;
mod depth;
mod done;
#[cfg(madsim)]
mod driver;
mod dues;
mod effects;
mod expiry;
mod facts;
mod fairness;
mod floors;
mod gate;
mod hoarding;
mod keys;
mod latency;
mod ledger;
mod letters;
mod limits;
mod made;
mod messages;
mod metrics;
mod names;
mod once;
mod overlap;
mod places;
mod quarantine;
mod reasons;
mod refusals;
mod requests;
mod restores;
mod runs;
mod shares;
mod shutdown;
mod situations;
mod stale;
mod starts;
mod stragglers;
mod terminal;
mod turns;
mod views;
mod wakes;

use crate::plan::Settings;
use crate::probes::Probes;
pub(crate) use bounds::STEPS_MAX;
use ledger::Restore;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use tidegate_core::{
    Claim, Delivery, Disposition, Fact, GateLimits, InboxId, Input, Lease, Micros, Mono, OpId, Outcome, Reply, Request,
    StoreError, SyncReply, TriggerId, View,
};
use tidegate_io_sim::Memory;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The name of the checker.
    pub checker: &'static str,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.checker, self.what)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Life {
    pub(crate) daemon: usize,
    pub(crate) life: u64,
}

/// One observable step of a simulated run.
pub(crate) enum Observation<'a> {
    /// A life begins, or its gate gets new limits. `batch_max` is given at the beginning of a life.
    Configured { of: Life, gate: GateLimits, batch_max: Option<u32> },
    /// A client changed the outbox.
    OutboxChanged,
    /// A dispatcher calls the store. `op` is `None` for an inline claim, which has no number of its
    /// own.
    StoreCalled { of: Life, op: Option<OpId>, request: &'a Request },
    /// The store has moved the times that lie ahead, because its clock was set back. The request
    /// that made it do so is observed next.
    TimesMoved { by: Micros },
    /// The store has ended these claims, because the daemon that made them has died and starts
    /// again.
    ClaimsEnded { claims: &'a BTreeSet<Lease> },
    /// The store went back to an earlier state.
    Restored,
    /// The store has applied a request.
    StoreApplied { of: Life, op: OpId, request: &'a Request, reply: &'a Reply },
    /// A dispatcher got the answer to a store call, and accepted it or found it stale.
    StoreAnswered { of: Life, op: OpId, result: &'a Result<Reply, StoreError>, accepted: bool },
    /// A dispatcher starts an execution.
    ExecutionStarted { of: Life, op: OpId, delivery: &'a Delivery },
    /// The handler of an execution begins. If the execution is cancelled before, or if the handler
    /// does not start, this never happens.
    HandlerBegan { op: OpId },
    /// An execution is over. Without an outcome, the daemon died or cancelled the execution.
    ExecutionEnded { op: OpId, claim: Claim, outcome: Option<&'a Outcome> },
    /// A dispatcher reports a fact.
    Fact { of: Life, fact: &'a Fact },
    /// A dispatcher sends a reply to a caller.
    ReplySent { of: Life, inbox: InboxId },
    /// A reply was handed over. `delivered` is false if the caller had hung up.
    ReplyHandedOver { inbox: InboxId, reply: &'a SyncReply, delivered: bool },
    /// A dispatcher has nothing to do until `wake_at` or the next input.
    Idle { of: Life, view: View, now: Mono, wake_at: Option<Mono>, steps: u32 },
    /// A dispatcher has completed its shutdown.
    Stopped { of: Life, now: Mono },
    /// A dispatcher got a wake-up for these lanes.
    WokenUp { of: Life, lanes: &'a [TriggerId] },
    /// A transaction has claimed `rows` rows inline, and will hand them over.
    InlineClaimInFlight { of: Life, rows: u32 },
    /// A dispatcher got the rows of an inline claim.
    InlineClaim { of: Life, claimed: &'a [Arc<Delivery>] },
    /// A dispatcher has handled an input. The input may belong to an earlier life.
    InputHandled { of: Life, input: InputKind, now: Mono, disposition: Disposition, for_another_life: bool },
    /// A life has ended.
    LifeEnded { of: Life },
    /// The driver, or its ports, did something. Tier 1 has no driver.
    #[cfg(madsim)]
    Driver { of: Life, event: DriverEvent<'a> },
    /// A latency sample, taken every 50 ms. `has_room` is true if no fault has effects and a daemon
    /// has room for another lane.
    LatencySample { has_room: bool },
    /// The run is over; every delivery must have ended.
    RunEnded,
}

/// An event outside the dispatcher and inside its process.
#[cfg(madsim)]
#[derive(Clone, Copy, Debug)]
pub(crate) enum DriverEvent<'a> {
    /// The dispatcher returned this action.
    ActionReturned {
        op: OpId,
        is_execution: bool,
    },
    /// The loop called the port of this action.
    PortCalled(OpId),
    /// The port returned. `fate` is the fate of a failed store call.
    PortReturned {
        op: OpId,
        fate: Option<tidegate_core::Fate>,
    },
    /// The port was dropped before it returned.
    PortDropped(OpId),
    /// The dispatcher got the answer to this action.
    AnswerHandled {
        op: OpId,
        fate: Option<tidegate_core::Fate>,
    },
    /// The dispatcher cancelled this execution.
    Cancelled(OpId),
    /// A writer of this process woke these lanes.
    LanesWoken(&'a [TriggerId]),
    /// A transaction of this process handed over the rows of its inline claim.
    InlineClaimed(&'a [Arc<Delivery>]),
    /// A call was made.
    CallMade(InboxId),
    ShutdownRequested,
    /// The loop has returned.
    LoopEnded,
}

/// The kinds of input that checkers distinguish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InputKind {
    /// A sync call, with the depth of its chain.
    Call {
        inbox: InboxId,
        depth: u32,
    },
    /// A caller hangs up.
    HangUp(InboxId),
    /// The result of handing over a reply.
    ReplyResult,
    Shutdown,
    Other,
}

impl InputKind {
    pub(crate) fn of(input: &Input) -> Self {
        match input {
            Input::SyncCalled { call } => {
                Self::Call { inbox: call.inbox, depth: call.cause.parent.map_or(0, |parent| parent.depth) }
            }
            Input::CallerGone { inbox } => Self::HangUp(*inbox),
            Input::ReplyDelivered { .. } => Self::ReplyResult,
            Input::ShutdownRequested => Self::Shutdown,
            _ => Self::Other,
        }
    }

    /// The kind of an input that a planted bug has changed into `changed`. A hang-up counts even if
    /// the bug hides it.
    pub(crate) fn after_sabotage(self, changed: &Input) -> Self {
        if matches!(self, Self::HangUp(_)) { self } else { Self::of(changed) }
    }
}

/// The world at the time of an observation.
pub(crate) struct Snapshot<'a> {
    pub(crate) now: u64,
    pub(crate) store: &'a Memory,
    pub(crate) settings: Settings,
    /// Whether the store has gone back to an earlier state.
    pub(crate) is_restored: bool,
    /// The longest wait of a due row while nothing is wrong: a poll, a claim and the exchanges in
    /// flight, in microseconds.
    pub(crate) wait_max: u64,
    /// The latest trouble of each daemon.
    pub(crate) trouble: &'a [Trouble],
}

impl Snapshot<'_> {
    /// Whether a claim belongs to the history of the store. After a restore, a claim of the lost
    /// history may name the id of another row.
    pub(crate) fn survives(&self, claim: Claim) -> bool {
        !self.is_restored || self.store.row(claim.delivery).is_some_and(|row| row.lease == claim.lease)
    }
}

/// The latest faults of a daemon. Checkers expect less of the daemon while a fault has effects.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trouble {
    /// The end of the last fault that affects the daemon.
    pub(crate) until: u64,
    /// The end of the last pause.
    pub(crate) paused_until: u64,
    /// The number of the daemon's current life.
    pub(crate) life: u64,
    pub(crate) is_alive: bool,
}

/// A checker of one promise.
pub(crate) trait Checker: Send {
    fn name(&self) -> &'static str;

    /// The state that goes back when the store goes back.
    fn ledgers(&mut self) -> Vec<&mut dyn Restore> {
        Vec::new()
    }

    /// Looks at an observation. Returns a message if the promise is broken.
    fn observe(
        &mut self,
        observation: &Observation<'_>,
        snapshot: &Snapshot<'_>,
        probes: &mut Probes,
    ) -> Result<(), String>;
}

#[must_use]
pub fn names() -> Vec<&'static str> {
    all().iter().map(|checker| checker.name()).collect()
}

fn all() -> Vec<Box<dyn Checker>> {
    vec![
        Box::<terminal::Terminal>::default(),
        Box::<quarantine::Quarantine>::default(),
        Box::<claims::Claims>::default(),
        Box::<requests::Requests>::default(),
        Box::<restores::Restores>::default(),
        Box::<floors::Floors>::default(),
        Box::<stragglers::Stragglers>::default(),
        Box::<attempts::Attempts>::default(),
        Box::<once::Once>::default(),
        Box::<overlap::Overlap>::default(),
        Box::<expiry::Expiry>::default(),
        Box::<done::Done>::default(),
        Box::<backoff::Backoff>::default(),
        Box::<keys::Keys>::default(),
        Box::<gate::Gate>::default(),
        Box::<turns::Turns>::default(),
        Box::<shares::Shares>::default(),
        Box::<limits::Limits>::default(),
        Box::<depth::Depth>::default(),
        Box::<calls::Calls>::default(),
        Box::<callers::Callers>::default(),
        Box::<shutdown::Shutdown>::default(),
        Box::<letters::Letters>::default(),
        Box::<messages::Messages>::default(),
        Box::<reasons::Reasons>::default(),
        Box::<refusals::Refusals>::default(),
        Box::<runs::Runs>::default(),
        Box::<metrics::Metrics>::default(),
        Box::<facts::Facts>::default(),
        Box::<bounds::Bounds>::default(),
        Box::<latency::Latency>::default(),
        Box::<dues::Dues>::default(),
        Box::<stale::Stale>::default(),
        Box::<views::Views>::default(),
        Box::<fairness::Fairness>::default(),
        Box::<hoarding::Hoarding>::default(),
        Box::<starts::Starts>::default(),
        Box::<wakes::Wakes>::default(),
        Box::<places::Places>::default(),
        Box::<effects::EffectsOnce>::default(),
    ]
}

/// All checkers, possibly without one.
pub(crate) struct Checkers {
    all: Vec<Box<dyn Checker>>,
    situations: situations::Situations,
    made: made::ClaimsMade,
}

impl Checkers {
    pub(crate) fn without(name: Option<&str>) -> Self {
        let all = all().into_iter().filter(|checker| Some(checker.name()) != name).collect();
        Self { all, situations: situations::Situations::default(), made: made::ClaimsMade::default() }
    }

    /// All checkers, also the one of the driver.
    #[cfg(madsim)]
    pub(crate) fn of_cluster() -> Self {
        let mut checkers = Self::without(None);
        checkers.all.insert(0, Box::<driver::Driver>::default());
        checkers
    }

    /// Saves what the checkers know of the store, for the restore by the fault with this number.
    pub(crate) fn save(&mut self, fault: usize) {
        self.all.iter_mut().flat_map(|checker| checker.ledgers()).for_each(|ledger| ledger.save(fault));
    }

    /// Takes back what the checkers know of the store.
    pub(crate) fn restore(&mut self, fault: usize) {
        self.all.iter_mut().flat_map(|checker| checker.ledgers()).for_each(|ledger| ledger.restore(fault));
    }

    /// The claims that a daemon has made in all its lives.
    pub(crate) fn claims_of(&self, daemon: usize) -> BTreeSet<Lease> {
        self.made.of(daemon)
    }

    /// Shows an observation to every checker.
    pub(crate) fn observe(
        &mut self,
        observation: &Observation<'_>,
        snapshot: &Snapshot<'_>,
        probes: &mut Probes,
    ) -> Result<(), Violation> {
        self.situations.count(observation, snapshot, probes);
        self.made.record(observation);
        for checker in &mut self.all {
            if let Err(what) = checker.observe(observation, snapshot, probes) {
                return Err(Violation { checker: checker.name(), what });
            }
        }
        Ok(())
    }
}
