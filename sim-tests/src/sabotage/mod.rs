//! Planted bugs. Each stands at a border of the core, where only the simulator is: between a dispatcher and the world, or
//! in the simulated store. So no production code knows of them, and a checker that lets one through is seen to.

mod dispatcher;
mod fan_out;
mod hunt;
mod store;

pub use hunt::{Caught, SEEDS_MAX, hunt};

macro_rules! bugs {
    ($($name:ident, $checker:literal, $what:literal;)+) => {
        /// A bug that may be planted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Bug { $(#[doc = $what] $name,)+ }

        impl Bug {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// What is wrong.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self { $(Self::$name => $what,)+ }
            }

            /// The checker that is there for it.
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
    RenewsOldLease, "claims", "a renewal of an old lease prolongs the new one";
    LeaseNotGrown, "claims", "a claim keeps the lease's number";
    ClaimsLeased, "overlap", "a claim takes rows whose lease holds";
    ClaimsEarly, "backoff", "a claim takes rows that are not due";
    AttemptNotCounted, "attempts", "a claim does not count its attempt";
    DeferralCounts, "attempts", "a deferral does not give its attempt back";
    DoneKeepsRow, "terminal", "what is done stays in the outbox";
    EndedComesBack, "terminal", "what has ended is claimed again";
    RetryLosesRow, "places", "a retry deletes its row";
    DeadLosesLetter, "places", "a dead delivery leaves no letter";
    LetterOfAnother, "places", "a dead letter names another delivery";
    RetryAtOnce, "backoff", "a retry is due at once";
    ConflictsIgnored, "effects", "what was read is not compared with what is there";
    EffectsTwice, "effects", "effects are applied a second time with the next exchange";
    LimitIgnored, "limits", "a claim ignores max_concurrency";
    HandlerUnmarked, "letters", "a letter does not learn that it was handled";
    HandlerSilent, "letters", "a letter does not learn how its handler failed";
    AbandonedLost, "calls", "an abandoned call leaves no entry";
    DroppedTwice, "depth", "a dropped delivery is counted in a letter as well";
    RenewForgets, "expiry", "a renewal is confirmed and does nothing";
    DiscoverBlind, "latency", "a discovery never sees the lane of slow handlers";
    PoisonBlocks, "latency", "a lane that has failed is not claimed for a while";
    OtherEvent, "keys", "a second attempt gets another payload";
    // Between the dispatcher and the world.
    GateOffByOne, "gate", "the gate admits one more than it should";
    ReserveIgnored, "gate", "async work takes the reserve";
    CallsOffByOne, "gate", "calls are admitted one beyond the permits";
    DepthOffByOne, "depth", "a chain may be one deeper";
    JitterTooWide, "backoff", "a back-off is half as long again";
    JitterSkewed, "jitter", "jitter is drawn from the upper half alone";
    OneAttemptLess, "attempts", "the last attempt is not made";
    DiesOfAnother, "reasons", "a dead letter gives another reason than its failure";
    LostRetry, "expiry", "the settlement of a failure is forgotten";
    LostRenewal, "expiry", "leases are not renewed";
    LostReply, "progress", "the answer to an exchange with claims and settlements is now and then forgotten";
    LostReceipt, "progress", "nobody learns that a reply was delivered";
    ExecutesTwice, "overlap", "a claim is executed twice at once";
    ExecutesAgain, "overlap", "what was executed is executed once more before it is settled";
    FailureIsSuccess, "done", "a failure is settled as a success, with effects";
    EffectsForgotten, "done", "a success is settled without its effects";
    CallRetried, "calls", "a failed call is tried again";
    RepliesTwice, "calls", "a caller is told twice";
    RepliesTooSoon, "calls", "a caller is told of a success that was not applied";
    StaleTaken, "stale", "an answer to a dead life is taken in by the next";
    AnswerIgnored, "latency", "the answer to a discovery is now and then taken for another one's";
    OversleepsCaller, "callers", "a dispatcher sleeps while a caller's patience ends";
    ShowsTooLittle, "views", "a dispatcher shows nothing of what it settles";
    RoomForMore, "views", "a dispatcher shows room that is taken";
    ClosesNothing, "views", "an emission claims of a lane whose own rows wait";
    Favourite, "fairness", "the first lane of a claim gets what the last one should have had";
    ClaimsTooMuch, "hoarding", "a claim asks for three times what there is use for";
    SleepsOn, "wakes", "a dispatcher sleeps on when it is woken for one lane";
    NeverRests, "bounds", "a timer is set for a time that has passed";
    FactUntold, "metrics", "a dead letter is not told of";
    CountsWrong, "facts", "an exchange is told twice, the second time with one row more";
    FactWrong, "metrics", "a deferral is told of, and never happened";
    // In fan-out.
    FansOutTwice, "effects", "an event makes two rows for one trigger";
}
