//! Planted bugs. Each bug is at a border of the core that only the simulator has: between a
//! dispatcher and the world, or in the simulated store. No production code contains these bugs. A
//! bug that no checker catches shows a gap.

mod dispatcher;
#[cfg(madsim)]
mod driver;
mod fan_out;
mod hunt;
mod needs;
mod numbers;
mod operations;
mod store;

pub(crate) use fan_out::{claim_inline, fan_out_again};
pub use hunt::{Caught, SEEDS_MAX, hunt};
pub(crate) use numbers::lose_claims;
pub(crate) use operations::{deploy, end_claims, restart_store};

use crate::profile::Profile;
use tidegate_io_sim::Memory;

/// A planted bug between a dispatcher and the world, and the store that the bug reads.
pub(crate) struct Saboteur<'a> {
    pub(crate) bug: Option<Bug>,
    pub(crate) store: &'a Memory,
}

macro_rules! bugs {
    ($($name:ident, $checker:literal, $what:literal;)+) => {
        /// A bug that can be planted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Bug { $(#[doc = $what] $name,)+ }

        impl Bug {
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// A description of the bug.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self { $(Self::$name => $what,)+ }
            }

            /// The checker that is expected to catch the bug.
            #[must_use]
            pub const fn checker(self) -> &'static str {
                match self { $(Self::$name => $checker,)+ }
            }
        }
    };
}

bugs! {
    // In the store.
    NoFence, "claims", "a settlement with an old lease is applied";
    RenewsOldLease, "claims", "a renewal of an old lease extends the new one";
    RenewsExpiredLease, "claims", "a renewal revives an expired lease of a lane with a limit";
    SuccessorForgets, "claims", "a daemon that starts again does not end the claims of its earlier life";
    SuccessorEndsAll, "claims", "a daemon that starts again ends the claims of other daemons";
    NumbersRepeat, "restores", "after a restore, the numbers of claims repeat";
    NumberReused, "claims", "a claim gets the number of an earlier claim";
    RenewsUntouchedOnly, "claims", "a renewal forgets a claim of which a row was settled";
    LookBackIgnored, "floors", "a claim finds no row below the floor";
    FloorSkips, "floors", "the floor moves past rows that were not taken";
    InlineClaimForgotten, "progress", "the lease of an inline claim never expires";
    ClaimsLeased, "overlap", "a claim takes rows with a valid lease";
    ClaimsEarly, "backoff", "a claim takes rows that are not due";
    AttemptNotCounted, "attempts", "a claim does not count its attempt";
    LossNotCounted, "attempts", "a second loss of a row is not counted";
    LossKeepsClaim, "quarantine", "an expired claim is not ended";
    SuspectsTogether, "quarantine", "two suspects are claimed at once";
    HeldCounts, "attempts", "a row that was held ahead counts a loss";
    MostLostFirst, "quarantine", "a suspect with more losses is claimed before one with fewer";
    HeldIsSilent, "attempts", "a letter does not list an attempt that never began";
    HeldIsFree, "quarantine", "a row that was held ahead is no suspect";
    SuspectAtOnce, "backoff", "a suspect is claimed without its back-off";
    DeferralCounts, "attempts", "a deferral counts as an attempt";
    DoneKeepsRow, "terminal", "a done delivery stays in the outbox";
    EndedComesBack, "terminal", "a finished delivery is claimed again";
    RetryLosesRow, "places", "a retry deletes its row";
    DeadLosesLetter, "places", "a dead delivery leaves no letter";
    LetterOfAnother, "places", "a dead letter names another delivery";
    RetryAtOnce, "backoff", "a retry is due at once";
    ConflictsIgnored, "effects", "versions read are not compared with current versions";
    EffectsTwice, "effects", "effects are applied a second time with the next exchange";
    LimitIgnored, "limits", "a claim ignores max_concurrency";
    InlineTakesMore, "views", "an inline claim takes more rows than its room";
    LimitedInline, "limits", "an inline claim takes rows of a lane with a limit";
    HandlerUnmarked, "letters", "a handled letter is not marked";
    HandlerSilent, "letters", "a letter does not record its handler's failure";
    AbandonedLost, "calls", "an abandoned call leaves no entry";
    HandlerDropped, "depth", "a dead-letter handler is dropped because of its depth";
    DroppedTwice, "depth", "a dropped delivery is counted in a letter as well";
    RenewForgets, "claims", "a renewal is confirmed and does nothing";
    DiscoverBlind, "latency", "a discovery never lists the lane of slow handlers";
    PoisonBlocks, "floors", "a lane that has failed is not claimed for a while";
    OtherEvent, "keys", "a second attempt gets another payload";
    PoisonForgiven, "attempts", "the loss of an event that kills its daemon is not counted";
    PreviousFindsNothing, "floors", "a claim of a daemon of the previous version finds no rows";
    DeployFreesRows, "claims", "a deployment frees rows that are held";
    DisabledLosesRows, "places", "a trigger that is disabled loses its rows";
    DeletedWaits, "progress", "the rows of a deleted trigger are never due";
    ChangedPolicy, "attempts", "a changed trigger changes the policy of its rows";
    LimitForgetsHeld, "limits", "a changed limit does not count rows that were held before";
    TimesNotMoved, "progress", "the store does not move due times when its clock is set back";
    OutageFreesRows, "claims", "a restart of the store frees rows that are held";
    // Between the dispatcher and the world.
    GateOffByOne, "gate", "the gate admits one more than it should";
    ReserveIgnored, "gate", "async work uses the reserve";
    AsyncReserveIgnored, "gate", "sync calls use the async reserve";
    CallsOffByOne, "gate", "calls are admitted one beyond the permits";
    DepthOffByOne, "depth", "the depth limit is one too high";
    JitterTooWide, "backoff", "a back-off is 1.5 times as long";
    JitterSkewed, "jitter", "jitter is drawn from the upper half alone";
    OneAttemptLess, "attempts", "the last attempt is not made";
    LossIsDeath, "attempts", "a suspect becomes a dead letter before its last permitted loss";
    BatchIgnored, "requests", "a request is larger than a batch";
    NoteMissing, "messages", "a message does not say that the requested back-off is too long";
    ShutdownCounts, "reasons", "a row that a shutdown releases loses an attempt";
    DeniedRuns, "reasons", "a dispatcher executes a row whose principal may not run it";
    HangUpIgnored, "callers", "a call begins although its caller has hung up";
    SuspectsMixed, "quarantine", "a dispatcher treats suspects like other rows";
    DiesOfAnother, "reasons", "a dead letter gives a wrong reason";
    RefusalFails, "refusals", "a handler that did not start counts as a failed attempt";
    BegunIsDeferred, "once", "a failed handler with one attempt is reported as not started";
    WaitCounts, "runs", "the wait for a thread counts as running time";
    StartsEarly, "runs", "a failed attempt begins before its handler";
    RestsTooShort, "refusals", "a handler that did not start is tried again at once";
    LostRetry, "expiry", "the settlement of a failure is not sent";
    LostRenewal, "expiry", "leases are not renewed";
    RowLeftOut, "claims", "a dispatcher drops a row of a claim and renews the claim";
    LostReply, "progress", "some answers to exchanges with claims are lost";
    LostReceipt, "progress", "the result of a reply is lost";
    ExecutesTwice, "overlap", "a claim is executed twice at once";
    ExecutesAgain, "overlap", "a delivery is executed again before its settlement";
    FailureIsSuccess, "done", "a failure is settled as a success, with effects";
    EffectsForgotten, "done", "a success is settled without its effects";
    CallRetried, "calls", "a failed call is tried again";
    RepliesTwice, "calls", "a caller gets two replies";
    RepliesTooSoon, "calls", "a caller gets a success that was not applied";
    StaleTaken, "stale", "the next life accepts an answer to an earlier life";
    AnswerIgnored, "latency", "some answers to discoveries are treated as unknown";
    OversleepsCaller, "callers", "a dispatcher sleeps past a caller's deadline";
    OversleepsPoll, "dues", "a dispatcher sleeps for 2 s instead of a discovery";
    ShowsTooLittle, "views", "a view shows no settlements";
    RoomForMore, "views", "a view shows inline room that is in use";
    RoomWhileDown, "facts", "a view shows inline room while the store may not be called";
    ClosesNothing, "views", "an inline claim takes rows of a lane with waiting rows";
    LanesSplit, "turns", "a dispatcher treats each row as a lane of its own";
    QueueTooLong, "shares", "one more call waits than the queue has places";
    QueueTooShort, "shares", "a call is refused although the queue has a place";
    AppsSplit, "shares", "a dispatcher treats each call as a call of an app of its own";
    Favourite, "fairness", "the first lane of a claim gets the last lane's rows";
    ClaimsTooMuch, "hoarding", "a claim requests three times the useful rows";
    StartsAll, "starts", "a claim says that all its rows start at once";
    HoldsLastLoss, "starts", "a row is held ahead although one loss is its last";
    InlineRowsUncounted, "hoarding", "a dispatcher does not count the inline claim in flight";
    LooksBackIdle, "stragglers", "a dispatcher does not look back while its lane has running rows";
    StopsUnsettled, "shutdown", "a dispatcher stops before its last settlements are applied";
    SleepsOn, "wakes", "a dispatcher ignores a wake-up for one lane";
    NeverRests, "bounds", "a timer is set in the past";
    FactUntold, "metrics", "a dead letter is not reported";
    CountsWrong, "facts", "an exchange is reported twice, the second time with one row more";
    FactWrong, "metrics", "a deferral is reported that did not happen";
    // In fan-out.
    FansOutTwice, "effects", "an event makes two rows for one trigger";
    // In the driver. Only tier 2 has one.
    AnswerDropped, "driver", "some answers of the store do not reach the dispatcher";
    OutcomeDropped, "driver", "some outcomes do not reach the dispatcher";
    AnswerDoubled, "driver", "an outcome reaches the dispatcher twice";
    FateChanged, "driver", "a store call with an unknown fate is reported as not applied";
    ActionForgotten, "driver", "some executions are not started";
    CancelIgnored, "driver", "a cancelled execution goes on";
    CancelsAnother, "driver", "a cancel ends a second execution too";
    WakeUpLost, "driver", "some wake-ups do not reach the dispatcher";
    InlineBatchLost, "driver", "some rows of inline claims do not reach the dispatcher";
    CallLost, "driver", "some calls do not reach the dispatcher";
    TimerLate, "driver", "timers fire 200 ms late";
    ShutdownIgnored, "driver", "a shutdown request is forgotten";
    StopsEarly, "driver", "a shutdown ends the loop at once";
}

impl Bug {
    /// Whether tier 1 can plant the bug: it has no driver.
    #[must_use]
    pub fn is_in_tier_1(self) -> bool {
        self.checker() != "driver"
    }

    /// Whether tier 2 can plant the bug. `docs/simulation.md` gives the reasons for the exceptions.
    #[must_use]
    pub const fn is_in_tier_2(self) -> bool {
        !matches!(self, Self::StaleTaken | Self::RepliesTwice | Self::ExecutesTwice | Self::ExecutesAgain)
    }

    /// The workload that shows the bug soonest.
    #[must_use]
    pub const fn profile(self) -> Profile {
        match self {
            Self::JitterSkewed => Profile::Jitter,
            Self::DepthOffByOne => Profile::Loops,
            Self::LooksBackIdle => Profile::Fair,
            Self::PoisonForgiven | Self::HeldCounts | Self::HeldIsSilent | Self::HeldIsFree => Profile::Crash,
            Self::NumbersRepeat => Profile::Restore,
            Self::InlineRowsUncounted => Profile::Overlap,
            _ => Profile::Mixed,
        }
    }
}
