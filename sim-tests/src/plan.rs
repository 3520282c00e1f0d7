//! All that happens in a simulated run from outside, as data. A regression keeps the plan and not the seed: a later
//! generator reads an old seed differently.

use serde::{Deserialize, Serialize};
use tidegate_core::GateLimits;

/// One simulated run. Times are microseconds since its beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// What handlers, latencies and retries are drawn from.
    pub seed: u64,
    /// How many daemons there are.
    pub daemons: usize,
    /// How each of them is set.
    pub settings: Settings,
    /// What clients and operators do.
    pub steps: Vec<(u64, Step)>,
    /// What goes wrong.
    pub faults: Vec<(u64, Fault)>,
    /// From then on nothing goes wrong any more, and everything has to end.
    pub heal_at: u64,
}

/// What a daemon's configuration says, as far as plans differ in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What the gate allows.
    pub gate: GateLimits,
    /// How long a claim holds.
    pub lease_ms: u64,
    /// The most rows of one exchange.
    pub batch_max: u32,
}

const fn one() -> u32 {
    1
}

/// What a client or an operator does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Emits so many events of one type.
    Emit {
        /// The trigger that it is for, by its name.
        to: String,
        /// How many.
        count: u32,
        /// How long ago the transaction began that commits now: its rows have been due since then.
        lag: u64,
    },
    /// Writes a value that a trigger watches.
    Put {
        /// Under which key.
        key: u32,
    },
    /// Emits, and rolls back: notifications may have gone out already.
    Rollback {
        /// The trigger that it would have been for.
        to: String,
    },
    /// Callers call the page or a script, and wait at most so long.
    Call {
        /// How many at once.
        #[serde(default = "one")]
        count: u32,
        /// Which daemon.
        daemon: usize,
        /// When the caller hangs up, if not answered.
        patience: u64,
        /// The idempotency key, if it has one.
        key: Option<u32>,
    },
    /// Puts other limits in force.
    Gate {
        /// Which daemon.
        daemon: usize,
        /// The limits.
        limits: GateLimits,
    },
    /// Redrives so many dead letters.
    Redrive {
        /// At most.
        limit: u32,
    },
    /// Discards so many dead letters.
    Discard {
        /// At most.
        limit: u32,
    },
    /// Pauses a trigger for a while.
    PauseTrigger {
        /// Which.
        trigger: String,
        /// For so long.
        length: u64,
    },
    /// Disables the principal that registered `owned` for a while.
    Disable {
        /// For so long.
        length: u64,
    },
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// A daemon dies; another life of it begins later.
    Crash {
        /// Which.
        daemon: usize,
        /// When this happens to it next.
        at: CrashPoint,
        /// After this long.
        down: u64,
    },
    /// A daemon does nothing for a while, and does not know it.
    Pause {
        /// Which.
        daemon: usize,
        /// For so long.
        length: u64,
    },
    /// A daemon is asked to shut down; another life of it begins when it has.
    Shutdown {
        /// Which.
        daemon: usize,
    },
    /// A daemon is asked to shut down, and comes back with other settings: with the old ones elsewhere, for a while.
    Rollout {
        /// Which.
        daemon: usize,
        /// What its next lives are set to.
        settings: Settings,
    },
    /// The next store call of a daemon fails.
    Store {
        /// Which.
        daemon: usize,
        /// How.
        fault: StoreFault,
    },
    /// One certain store call of a daemon goes wrong.
    Call {
        /// Which daemon.
        daemon: usize,
        /// The how manyeth of all its calls, from 1.
        nth: u64,
        /// How.
        fault: CallFault,
    },
    /// The network loses everything one way between a daemon and the store.
    Cut {
        /// Which daemon.
        daemon: usize,
        /// For so long.
        length: u64,
        /// Whether the answers are lost, and not the questions.
        answers: bool,
    },
    /// The notifications for a daemon are lost.
    Deaf {
        /// Which.
        daemon: usize,
        /// For so long.
        length: u64,
    },
    /// A daemon is woken again and again, for nothing.
    Storm {
        /// Which.
        daemon: usize,
        /// So often, a millisecond apart.
        count: u32,
    },
    /// A daemon's clock runs at another rate.
    Drift {
        /// Which.
        daemon: usize,
        /// Thousandths of the right one; 0 stands still.
        permille: u32,
        /// For so long.
        length: u64,
    },
    /// A daemon's clock leaps ahead.
    Leap {
        /// Which.
        daemon: usize,
        /// So far.
        by: u64,
    },
    /// The store's clock jumps.
    StoreClock {
        /// So far, in microseconds.
        by: i64,
    },
    /// The next execution of a daemon goes wrong.
    Handler {
        /// Which.
        daemon: usize,
        /// How.
        fault: HandlerFault,
    },
    /// Every execution of one trigger fails for a while: its destination is down.
    Down {
        /// The trigger.
        to: String,
        /// For so long.
        length: u64,
    },
}

/// What happens next to a daemon that is to die of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CrashPoint {
    /// Anything.
    Now,
    /// It asks the store, and the question is never sent.
    Asking,
    /// The store has applied what it asked, and the answer finds nobody.
    Applied,
    /// It begins an execution.
    Starting,
    /// An execution is half done.
    Running,
    /// An execution has ended, with all that it did outside, and is not settled.
    Ended,
    /// It has heard that settlements were applied.
    Settled,
}

/// How one certain store call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallFault {
    /// Who asks dies of it, at [`CrashPoint::Asking`] or at [`CrashPoint::Applied`].
    Crash(CrashPoint),
    /// The call fails.
    Store(StoreFault),
}

/// How a store call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoreFault {
    /// Nothing was applied.
    Refused,
    /// Nothing was applied: a deadlock or a serialization failure.
    Contention,
    /// Nothing was applied: no connection became free for so long.
    Exhausted(u64),
    /// It was not applied, and nobody knows.
    QuestionLost,
    /// It was applied, and nobody is told.
    AnswerLost,
    /// It is answered twice.
    AnswerTwice,
    /// It is applied so much later, after the caller was told that its fate is unknown.
    Late(u64),
    /// It takes so long.
    Slow(u64),
    /// It is applied at once, and answered so much later.
    AnswerSlow(u64),
}

/// How an execution goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HandlerFault {
    /// It never ends.
    Hang,
    /// It panics.
    Panic,
    /// It did all its work outside, and is reported as failed.
    SuccessAsFailure,
    /// It fails, and names a time to come again.
    RetryAfter(u64),
    /// It fails for good.
    Permanent,
    /// It may not run any more.
    Denied,
    /// It is not there.
    Missing,
}
