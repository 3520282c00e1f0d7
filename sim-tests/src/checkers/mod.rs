//! What must hold, a file each. All of them watch one stream of moments; the first that objects ends the run.

mod attempts;
mod backoff;
mod bounds;
mod callers;
mod calls;
mod claims;
mod depth;
mod done;
mod effects;
mod expiry;
mod facts;
mod fairness;
mod gate;
mod hoarding;
mod keys;
mod latency;
mod letters;
mod limits;
mod metrics;
mod names;
mod overlap;
mod places;
mod reasons;
mod stale;
mod terminal;
mod views;
mod wakes;

use crate::plan::Settings;
use crate::probes::Probes;
pub(crate) use bounds::STEPS_MAX;
use std::fmt;
use tidegate_core::{
    Claim, Delivery, Disposition, Fact, GateLimits, InboxId, Mono, OpId, Outcome, Reply, Request, StoreError,
    SyncReply, TriggerId, View,
};
use tidegate_io_sim::Memory;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Who noticed.
    pub checker: &'static str,
    /// What.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.checker, self.what)
    }
}

/// One life of one daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Life {
    pub(crate) daemon: usize,
    pub(crate) life: u64,
}

/// What a checker sees happen.
pub(crate) enum Moment<'a> {
    /// A life begins, with the most rows of an exchange, or its gate is set anew.
    Set { of: Life, gate: GateLimits, batch_max: Option<u32> },
    /// The outbox may have new rows, by a client's doing.
    Changed,
    /// A dispatcher asks the store, under a number that not every world knows.
    Asks { of: Life, op: Option<OpId>, request: &'a Request },
    /// The store has applied it.
    Applied { of: Life, op: OpId, request: &'a Request, reply: &'a Reply },
    /// A dispatcher got an answer, and took it or not.
    Answered { of: Life, op: OpId, result: &'a Result<Reply, StoreError>, taken: bool },
    /// A dispatcher starts an execution.
    Executes { of: Life, op: OpId, delivery: &'a Delivery },
    /// An execution is over. Without an outcome its daemon died, or wrote it off.
    Ended { op: OpId, claim: Claim, outcome: Option<&'a Outcome> },
    /// A dispatcher says something.
    Fact { of: Life, fact: &'a Fact },
    /// A reply was handed over, or nobody was there.
    Replied { of: Life, inbox: InboxId, reply: &'a SyncReply, delivered: bool },
    /// A dispatcher has nothing to do until then, or for an answer.
    Rests { of: Life, view: View, now: Mono, wake_at: Option<Mono>, steps: u32 },
    /// A dispatcher has ended, as it was asked to.
    Stopped { of: Life, now: Mono },
    /// A dispatcher is told that rows have come into these lanes.
    Woken { of: Life, lanes: &'a [TriggerId] },
    /// A dispatcher is told of rows that an emission has claimed for it.
    InlineClaim { of: Life, claimed: &'a [Delivery] },
    /// A dispatcher was given an input, perhaps one for a life before it, and this is what it made of it.
    Took { of: Life, what: Given, now: Mono, disposition: Disposition, for_another: bool },
    /// A life is over.
    Died { of: Life },
    /// A few milliseconds have passed since everything healed.
    Sampled { has_room: bool },
    /// Everything has to have ended.
    Over,
}

/// What an input is, as far as checkers tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    /// A call, so deep in its chain.
    Call { inbox: InboxId, depth: u32 },
    /// A caller's end.
    HangUp(InboxId),
    /// The receipt of a reply.
    Receipt,
    /// The wish that it ends.
    Shutdown,
    /// Anything else.
    Other,
}

/// What a checker may look at.
pub(crate) struct Scene<'a> {
    pub(crate) now: u64,
    pub(crate) store: &'a Memory,
    pub(crate) settings: Settings,
    /// Until when each daemon had trouble last, and since when it lives its life.
    pub(crate) trouble: &'a [Trouble],
}

/// What excuses a daemon.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trouble {
    /// Until when something was wrong with it.
    pub(crate) until: u64,
    /// Which life it lives, and whether it does.
    pub(crate) life: u64,
    pub(crate) is_alive: bool,
}

/// One promise.
pub(crate) trait Checker: Send {
    /// Its name.
    fn name(&self) -> &'static str;

    /// Looks at what happens, and objects.
    fn see(&mut self, moment: &Moment<'_>, scene: &Scene<'_>, probes: &mut Probes) -> Result<(), String>;
}

/// The names of all checkers.
#[must_use]
pub fn names() -> Vec<&'static str> {
    all().iter().map(|checker| checker.name()).collect()
}

fn all() -> Vec<Box<dyn Checker>> {
    vec![
        Box::<terminal::Terminal>::default(),
        Box::<claims::Claims>::default(),
        Box::<attempts::Attempts>::default(),
        Box::<overlap::Overlap>::default(),
        Box::<expiry::Expiry>::default(),
        Box::<done::Done>::default(),
        Box::<backoff::Backoff>::default(),
        Box::<keys::Keys>::default(),
        Box::<gate::Gate>::default(),
        Box::<limits::Limits>::default(),
        Box::<depth::Depth>::default(),
        Box::<calls::Calls>::default(),
        Box::<callers::Callers>::default(),
        Box::<letters::Letters>::default(),
        Box::<reasons::Reasons>::default(),
        Box::<metrics::Metrics>::default(),
        Box::<facts::Facts>::default(),
        Box::<bounds::Bounds>::default(),
        Box::<latency::Latency>::default(),
        Box::<stale::Stale>::default(),
        Box::<views::Views>::default(),
        Box::<fairness::Fairness>::default(),
        Box::<hoarding::Hoarding>::default(),
        Box::<wakes::Wakes>::default(),
        Box::<places::Places>::default(),
        Box::<effects::EffectsOnce>::default(),
    ]
}

/// All of them, but for one that may be left out to see what it was good for.
pub(crate) struct Checkers {
    all: Vec<Box<dyn Checker>>,
}

impl Checkers {
    pub(crate) fn without(name: Option<&str>) -> Self {
        Self { all: all().into_iter().filter(|checker| Some(checker.name()) != name).collect() }
    }

    /// All of them, but for these.
    #[cfg(madsim)]
    pub(crate) fn but(names: &[&str]) -> Self {
        Self { all: all().into_iter().filter(|checker| !names.contains(&checker.name())).collect() }
    }

    /// Shows all of them what happens.
    pub(crate) fn see(&mut self, moment: &Moment<'_>, scene: &Scene<'_>, probes: &mut Probes) -> Result<(), Violation> {
        for checker in &mut self.all {
            if let Err(what) = checker.see(moment, scene, probes) {
                return Err(Violation { checker: checker.name(), what });
            }
        }
        Ok(())
    }
}
