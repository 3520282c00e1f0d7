//! Probes: situations that must occur in some runs. A fault without effect proves nothing, so each
//! fault sets a probe. A test run in which a probe stays silent fails.

use crate::jitter::Jitter;
use crate::plan::{CrashPoint, StoreFault};

macro_rules! probes {
    ($($(#[doc = $what:literal])+ $name:ident,)+) => {
        /// A situation that must occur in some runs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(usize)]
        pub enum Probe { $($(#[doc = $what])+ $name,)+ }

        impl Probe {
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// A sentence that describes the situation.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self { $(Self::$name => concat!($($what),+).trim_ascii(),)+ }
            }
        }
    };
}

probes! {
    /// a daemon died at some point
    Crashed,
    /// a daemon died before its request was sent
    CrashedAsking,
    /// a daemon died between the store's commit and the answer
    CrashedApplied,
    /// a transaction claimed rows inline
    InlineClaimed,
    /// a transaction claimed only some of its rows inline
    InlineClaimedPart,
    /// rows were claimed inline and never reached their dispatcher
    InlineClaimLost,
    /// a daemon died as an execution began
    CrashedStarting,
    /// a daemon died while an execution ran
    CrashedRunning,
    /// a daemon died after an execution and before its settlement
    CrashedEnded,
    /// a daemon died after its settlements were applied
    CrashedSettled,
    /// a daemon was paused longer than its lease
    PausedPastLease,
    /// a settlement of a paused daemon was fenced
    ZombieFenced,
    /// a renewal of a paused daemon was fenced
    RenewalFenced,
    /// a renewal came after the end of a lease of a limited lane
    RenewedTooLate,
    /// a settlement that was sent twice was fenced
    ResentFenced,
    /// a claim took a free row below the floor of its lane
    Straggler,
    /// a renewal extended a claim of which some rows had left
    RenewedInPart,
    /// an expired claim was ended after some of its rows had left
    LostInPart,
    /// a lease expired and the row was claimed again
    LeaseExpired,
    /// a delivery became a dead letter after several losses
    LostTooOften,
    /// a delivery with one permitted attempt became a dead letter after one loss
    OnceLost,
    /// an attempt failed whose handler had waited for a thread
    FailedAfterWait,
    /// a row that was lost was executed again
    SuspectRan,
    /// a daemon started again and ended the claims of its earlier life
    Succeeded,
    /// a handler failed with a message that is too long
    LongMessage,
    /// a claim held rows ahead
    HeldAhead,
    /// a row was held ahead when its claim was ended
    LostAhead,
    /// several calls waited to run again after a conflict
    CallsConflicted,
    /// a dead letter lists an attempt that never began
    NeverBegan,
    /// several suspects were claimed together
    SuspectsTogether,
    /// a store call was refused
    StoreRefused,
    /// a store call was aborted by a deadlock
    StoreContention,
    /// a store call found no free connection
    StoreExhausted,
    /// a request to the store was lost
    QuestionLost,
    /// an answer of the store was lost
    AnswerLost,
    /// an answer arrived twice
    AnsweredTwice,
    /// a store call was applied after its caller had given up
    AppliedLate,
    /// an answer reached another life than the one that sent the request
    AnsweredTheDead,
    /// a store call took longer than a lease
    StoreSlow,
    /// the back-off after a store failure was longer than its mean
    WaitsLonger,
    /// an answer arrived long after the request was applied
    AnswerSlow,
    /// the network lost everything in one direction
    Cut,
    /// the store was down while a daemon called it
    StoreDown,
    /// rows were claimed ahead of free permits
    ClaimedAhead,
    /// a lane with free permits was woken while an exchange was in flight
    WokenMeanwhile,
    /// a notification was lost
    NoticeLost,
    /// a daemon got a wake-up without new rows
    WokenForNothing,
    /// rows became visible long after they were due
    CommittedLate,
    /// a daemon's clock ran at a wrong rate while it held rows
    Drifted,
    /// a daemon's clock stood still while it held rows
    StoodStill,
    /// a daemon's clock jumped ahead
    Leapt,
    /// the store's clock was set back
    StoreClockBack,
    /// the store's clock was set ahead
    StoreClockAhead,
    /// the store moved its due times, because its clock was set back
    TimesMoved,
    /// the store went back to an earlier state
    Restored,
    /// a settlement of a lost history was fenced
    LostHistoryFenced,
    /// a discovery took more than 50 ms
    DiscoverySlow,
    /// the effects of an execution conflicted
    Conflicted,
    /// a delivery conflicted more than once
    ConflictedAgain,
    /// an execution was cancelled because it did not end in time
    Overran,
    /// a handler did not start
    NotStarted,
    /// the handlers of a lane did not start after a rest, and the next rest was longer
    RestedAgain,
    /// the handler of a sync call did not start
    CallNotStarted,
    /// a handler's execution panicked
    Panicked,
    /// a success was reported as a failure
    SuccessAsFailure,
    /// a handler's requested delay raised a back-off
    RetryAfter,
    /// a handler succeeded outside and ran again
    RanTwice,
    /// a failure was permanent
    Permanent,
    /// a row waited too long for a permit and was deferred
    Deferred,
    /// all permits were in use
    GateFull,
    /// only permits of the sync reserve were left
    ReserveLeft,
    /// only permits of the async reserve were left
    AsyncReserveLeft,
    /// a lane that ran nothing used a permit of the lane reserve beside busy lanes
    LaneReserveUsed,
    /// the first call of an app used a permit of the reserve beside calls of another app
    AppReserveUsed,
    /// the gate was lowered below the running executions
    GateLowered,
    /// a lane got fewer rows than it wanted
    Rationed,
    /// two exchanges of one daemon were in flight
    Overlapped,
    /// a row was claimed again before its settlement was answered
    CameBack,
    /// a call was refused because no permit was free
    CallRefused,
    /// a call arrived twice
    CalledTwice,
    /// a caller hung up before its call began
    HungUpBefore,
    /// a caller hung up while its call ran
    HungUpDuring,
    /// a reply found its caller gone
    HungUpAfter,
    /// a call was abandoned because its caller was gone
    AbandonedGone,
    /// a call was abandoned because its daemon was lost
    AbandonedNode,
    /// a call was repeated by its idempotency key
    CallRepeated,
    /// a delivery became a dead letter after its last attempt
    Exhausted,
    /// a delivery became a dead letter after its last attempt, and had lost others
    ExhaustedAfterLoss,
    /// a delivery became too old for another attempt
    TooOld,
    /// effects that only read were settled
    ReadOnly,
    /// a dead-letter handler succeeded
    LetterHandled,
    /// a dead-letter handler failed
    LetterHandlerFailed,
    /// the handler of a letter from the last permitted depth ran
    LetterHandledDeepest,
    /// a dead letter was redriven
    Redriven,
    /// a redriven delivery succeeded
    RedrivenDone,
    /// a dead letter was discarded
    Discarded,
    /// a delivery was dropped because its chain was too deep
    Dropped,
    /// a paused trigger had due rows
    PausedTrigger,
    /// a disabled principal's delivery became a dead letter
    PrincipalDenied,
    /// a trigger's limit held back due rows
    Limited,
    /// a cron trigger ticked
    Ticked,
    /// a shutdown completed while executions ran
    ShutDown,
    /// a shutdown released executions that did not end in time
    ShutDownReleased,
    /// two daemons ran with different settings
    RolledOut,
    /// two versions of the daemon ran side by side
    TwoVersions,
    /// an emission was rolled back
    RolledBack,
    /// the app was deployed again while it had rows
    Redeployed,
    /// a trigger with rows was disabled
    TriggerDisabled,
    /// a trigger with rows was deleted
    TriggerDeleted,
    /// a trigger with rows was changed
    TriggerChanged,
    /// the limit of a trigger with rows was changed
    LimitChanged,
    /// an event killed the daemon that executed it
    Poisoned,
    /// an event that kills daemons became a dead letter
    PoisonDied,
}

impl Probe {
    /// False if the situation cannot occur in tier 2. `docs/simulation.md` gives the reasons.
    #[must_use]
    pub const fn is_in_tier_2(self) -> bool {
        !matches!(self, Self::AnsweredTheDead)
    }
}

impl CrashPoint {
    /// The probe of a death at this point.
    pub(crate) const fn probe(self) -> Probe {
        match self {
            Self::Now => Probe::Crashed,
            Self::Asking => Probe::CrashedAsking,
            Self::Applied => Probe::CrashedApplied,
            Self::Starting => Probe::CrashedStarting,
            Self::Running => Probe::CrashedRunning,
            Self::Ended => Probe::CrashedEnded,
            Self::Settled => Probe::CrashedSettled,
        }
    }
}

impl StoreFault {
    /// The probe of this fault, for a daemon with leases of `lease_us`.
    pub(crate) const fn probe(self, lease_us: u64) -> Option<Probe> {
        Some(match self {
            Self::Refused => Probe::StoreRefused,
            Self::Contention => Probe::StoreContention,
            Self::Exhausted(_) => Probe::StoreExhausted,
            Self::QuestionLost => Probe::QuestionLost,
            Self::AnswerLost => Probe::AnswerLost,
            Self::AnswerTwice => Probe::AnsweredTwice,
            Self::Late(_) => Probe::AppliedLate,
            Self::Slow(length) if length > lease_us => Probe::StoreSlow,
            Self::Slow(_) => return None,
            Self::AnswerSlow(_) => Probe::AnswerSlow,
        })
    }
}

/// The count of each probe, and the distribution of the jitters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probes {
    fired: [u64; Probe::ALL.len()],
    jitter: Jitter,
}

impl Default for Probes {
    fn default() -> Self {
        Self { fired: [0; Probe::ALL.len()], jitter: Jitter::default() }
    }
}

impl Probes {
    /// Counts `probe` if `happened`.
    pub(crate) fn sometimes(&mut self, probe: Probe, happened: bool) {
        self.fired[probe as usize] += u64::from(happened);
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        for (here, there) in self.fired.iter_mut().zip(other.fired) {
            *here += there;
        }
        self.jitter.add(&other.jitter);
    }

    /// All counts as one list, to hand them to another process.
    #[must_use]
    pub fn counts(&self) -> Vec<u64> {
        self.fired.iter().chain(self.jitter.tenths()).copied().collect()
    }

    /// The probes with these counts. `None` if the list has another length.
    #[must_use]
    pub fn from_counts(counts: &[u64]) -> Option<Self> {
        let (fired, tenths) = counts.split_at_checked(Probe::ALL.len())?;
        Some(Self { fired: fired.try_into().ok()?, jitter: Jitter::of(tenths.try_into().ok()?) })
    }

    /// Records a jitter in this tenth of its range.
    pub(crate) fn drawn(&mut self, tenth: usize) {
        self.jitter.drawn(tenth);
    }

    /// The distribution of the jitters.
    #[must_use]
    pub const fn jitter(&self) -> &Jitter {
        &self.jitter
    }

    /// The count of `probe`.
    #[must_use]
    pub const fn of(&self, probe: Probe) -> u64 {
        self.fired[probe as usize]
    }

    /// The probes with a count of zero.
    #[must_use]
    pub fn silent(&self) -> Vec<Probe> {
        Probe::ALL.iter().copied().filter(|probe| self.of(*probe) == 0).collect()
    }
}
