//! What has to happen sometimes. A fault that never bites proves nothing, so each leaves a mark here, and one that stays
//! without is a failure.

use crate::jitter::Jitter;

macro_rules! probes {
    ($($(#[doc = $what:literal])+ $name:ident,)+) => {
        /// Something that has to happen in some runs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(usize)]
        pub enum Probe { $($(#[doc = $what])+ $name,)+ }

        impl Probe {
            /// Each of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// What happened.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self { $(Self::$name => concat!($($what),+).trim_ascii(),)+ }
            }
        }
    };
}

probes! {
    /// a daemon died
    Crashed,
    /// a daemon died before its question was sent
    CrashedAsking,
    /// a daemon died between the store's commit and the answer
    CrashedApplied,
    /// an emission claimed rows for its daemon
    InlineClaimed,
    /// an emission claimed only some of its rows
    InlineClaimedPart,
    /// an emission claimed rows, and its daemon never heard
    InlineClaimLost,
    /// a daemon died as an execution began
    CrashedStarting,
    /// a daemon died while an execution ran
    CrashedRunning,
    /// a daemon died after an execution and before its settlement
    CrashedEnded,
    /// a daemon died after its settlements were applied
    CrashedSettled,
    /// a daemon was paused past a lease of its own
    PausedPastLease,
    /// a zombie's settlement was fenced
    ZombieFenced,
    /// a zombie's renewal was fenced
    RenewalFenced,
    /// a settlement that was sent again was fenced
    ResentFenced,
    /// a lease ran out and the row was claimed again
    LeaseExpired,
    /// the attempt of an expired lease was the last one
    LostAtLastAttempt,
    /// a store call was refused
    StoreRefused,
    /// a store call met a deadlock
    StoreContention,
    /// no connection became free
    StoreExhausted,
    /// a question was lost
    QuestionLost,
    /// an answer was lost
    AnswerLost,
    /// an answer came twice
    AnsweredTwice,
    /// a call was applied after its caller had given up on it
    AppliedLate,
    /// an answer came to another life than had asked
    AnsweredTheDead,
    /// a store call took longer than a lease
    StoreSlow,
    /// a daemon waits for the store for longer than the back-off's middle
    WaitsLonger,
    /// an answer was long on its way
    AnswerSlow,
    /// the network lost everything one way
    Cut,
    /// rows were claimed ahead of free permits
    ClaimedAhead,
    /// a lane was woken while an exchange was under way, and found room
    WokenMeanwhile,
    /// a notification was lost
    NoticeLost,
    /// a daemon was woken for nothing
    WokenForNothing,
    /// rows became visible long after they became due
    CommittedLate,
    /// a daemon's clock ran wrong while it held rows
    Drifted,
    /// a daemon's clock stood still while it held rows
    StoodStill,
    /// a daemon's clock leapt
    Leapt,
    /// the store's clock was set back
    StoreClockBack,
    /// the store's clock leapt ahead
    StoreClockAhead,
    /// effects conflicted
    Conflicted,
    /// a delivery conflicted more than once
    ConflictedAgain,
    /// an execution was written off
    Overran,
    /// a handler panicked
    Panicked,
    /// a success was reported as a failure
    SuccessAsFailure,
    /// a handler's own wish raised a back-off
    RetryAfter,
    /// a handler succeeded outside, and ran again
    RanTwice,
    /// a failure was for good
    Permanent,
    /// a row waited too long for a permit and was deferred
    Deferred,
    /// all permits were in use
    GateFull,
    /// only the reserve was left
    ReserveLeft,
    /// the gate was lowered below what ran
    GateLowered,
    /// a lane got less than it wanted
    Rationed,
    /// two exchanges of one daemon were under way
    Overlapped,
    /// a row came back before its settlement was answered
    CameBack,
    /// a caller was refused for want of a permit
    CallRefused,
    /// a call was handed over twice
    CalledTwice,
    /// a caller hung up before its call was begun
    HungUpBefore,
    /// a caller hung up while its call ran
    HungUpDuring,
    /// a reply found nobody
    HungUpAfter,
    /// a call was abandoned because its caller was gone
    AbandonedGone,
    /// a call was abandoned because its daemon was
    AbandonedNode,
    /// a call was repeated by its idempotency key
    CallRepeated,
    /// a delivery became a dead letter after its last attempt
    Exhausted,
    /// a delivery became too old for another attempt
    TooOld,
    /// effects that only read were settled
    ReadOnly,
    /// a dead-letter handler succeeded
    LetterHandled,
    /// a dead-letter handler failed
    LetterHandlerFailed,
    /// a dead letter was redriven
    Redriven,
    /// a redriven delivery succeeded
    RedrivenDone,
    /// a dead letter was discarded
    Discarded,
    /// too deep a chain was dropped
    Dropped,
    /// a paused trigger had due rows
    PausedTrigger,
    /// a disabled principal's delivery became a dead letter
    PrincipalDenied,
    /// a trigger's limit held back due rows
    Limited,
    /// a cron trigger ticked
    Ticked,
    /// a shutdown completed while something ran
    ShutDown,
    /// a shutdown released what did not end in time
    ShutDownReleased,
    /// two daemons ran with different settings
    RolledOut,
    /// an emission was rolled back
    RolledBack,
}

/// How often each happened, and where in its range each jitter fell.
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
    /// It sometimes happens that `happened`.
    pub(crate) fn sometimes(&mut self, probe: Probe, happened: bool) {
        self.fired[probe as usize] += u64::from(happened);
    }

    /// Counts those of another run with these.
    pub fn add(&mut self, other: &Self) {
        for (here, there) in self.fired.iter_mut().zip(other.fired) {
            *here += there;
        }
        self.jitter.add(&other.jitter);
    }

    /// A jitter fell into this tenth of its range.
    pub(crate) fn drawn(&mut self, tenth: usize) {
        self.jitter.drawn(tenth);
    }

    /// Where the jitters fell.
    #[must_use]
    pub const fn jitter(&self) -> &Jitter {
        &self.jitter
    }

    /// How often it happened.
    #[must_use]
    pub const fn of(&self, probe: Probe) -> u64 {
        self.fired[probe as usize]
    }

    /// What never happened.
    #[must_use]
    pub fn silent(&self) -> Vec<Probe> {
        Probe::ALL.iter().copied().filter(|probe| self.of(*probe) == 0).collect()
    }
}
