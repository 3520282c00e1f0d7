//! A simulated run's external events as data. A regression keeps the plan and not the seed, because
//! a later generator makes another plan from the same seed.

use serde::{Deserialize, Serialize};
use tidegate_core::{GateLimits, Request, Timestamp};

/// One simulated run. Times are microseconds since its start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The seed of handlers, latencies and retries.
    pub seed: u64,
    pub daemons: usize,
    /// The settings of every daemon.
    pub settings: Settings,
    /// The steps of clients and operators, with their times.
    pub steps: Vec<(u64, Step)>,
    /// The faults, with their times.
    pub faults: Vec<(u64, Fault)>,
    /// From this time on there are no faults, and every delivery must end.
    pub heal_at: u64,
}

/// The part of a daemon's configuration that differs between plans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub gate: GateLimits,
    pub lease_ms: u64,
    /// The most rows of one exchange.
    pub batch_max: u32,
    #[serde(default)]
    pub version: Version,
}

/// The version of a daemon. During a rollout both versions run on one schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Version {
    #[default]
    Current,
    /// Claims nothing inline, gets wake-ups without lanes, and looks back to the beginning of each
    /// lane.
    Previous,
}

impl Plan {
    /// The states of the store to which a restore goes back: the time of the state, and the number
    /// of the fault.
    pub(crate) fn saves(&self) -> impl Iterator<Item = (u64, usize)> {
        self.faults.iter().enumerate().filter_map(|(n, (at, fault))| match fault {
            Fault::Restore { back } => Some((at.saturating_sub(*back), n)),
            _ => None,
        })
    }
}

impl Version {
    /// The request that a daemon of this version sends.
    pub(crate) fn adapt(self, mut request: Request) -> Request {
        if let (Self::Previous, Request::Exchange { claim, .. }) = (self, &mut request) {
            claim.iter_mut().for_each(|quota| quota.look_back = Timestamp(i64::MIN));
        }
        request
    }
}

const fn one() -> u32 {
    1
}

/// A step of a client or an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Emits `count` events of one type.
    Emit {
        /// The name of the trigger that matches.
        to: String,
        count: u32,
        /// The age of the transaction that commits now. Its rows have been due for this long.
        lag: u64,
    },
    /// Writes a value that a trigger watches.
    Put { key: u32 },
    /// Emits and rolls back. Notifications may have been sent before the rollback.
    Rollback {
        /// The name of the trigger that would have matched.
        to: String,
    },
    /// Calls the page or a script.
    Call {
        /// The number of concurrent callers.
        #[serde(default = "one")]
        count: u32,
        daemon: usize,
        /// The time after which an unanswered caller hangs up.
        patience: u64,
        key: Option<u32>,
    },
    /// Changes the limits of a gate.
    Gate { daemon: usize, limits: GateLimits },
    /// Redrives up to `limit` dead letters.
    Redrive { limit: u32 },
    /// Discards up to `limit` dead letters.
    Discard { limit: u32 },
    /// Pauses a trigger for `length`.
    PauseTrigger { trigger: String, length: u64 },
    /// Disables the principal that registered `owned` for `length`.
    Disable { length: u64 },
    /// Deploys the app with a change. After `length` the app is deployed without the change.
    Deploy { change: TriggerChange, length: u64 },
    /// Emits an event that kills each daemon that executes it.
    Poison {
        /// The name of the trigger that matches.
        to: String,
    },
}

/// The difference between a deployment and the app at the start of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TriggerChange {
    None,
    Disabled(String),
    Deleted(String),
    /// The trigger has another timeout and another retry policy.
    Changed(String),
    /// The trigger `limited` has this `max_concurrency`.
    Limit(u32),
}

/// A fault of a daemon, the store or the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// A daemon dies. Its next life begins after `down`.
    Crash {
        daemon: usize,
        /// The point at which the daemon dies.
        at: CrashPoint,
        down: u64,
    },
    /// A daemon is paused for `length`.
    Pause { daemon: usize, length: u64 },
    /// A daemon receives a shutdown request. Its next life begins after the shutdown.
    Shutdown { daemon: usize },
    /// A daemon receives a shutdown request and restarts with other settings. Other daemons keep
    /// the old settings.
    Rollout {
        daemon: usize,
        /// The settings of the daemon's next lives.
        settings: Settings,
    },
    /// The next store call of a daemon fails.
    Store { daemon: usize, fault: StoreFault },
    /// One particular store call of a daemon fails.
    Call {
        daemon: usize,
        /// The number of the call among all calls of the daemon, from 1.
        nth: u64,
        fault: CallFault,
    },
    /// The network loses everything in one direction between a daemon and the store.
    Cut {
        daemon: usize,
        length: u64,
        /// True if the answers are lost, false if the requests are lost.
        answers: bool,
    },
    /// The store is down. Requests in progress are lost.
    Outage { length: u64 },
    /// The notifications for a daemon are lost.
    Deaf { daemon: usize, length: u64 },
    /// A daemon gets `count` meaningless wake-ups, one millisecond apart.
    Storm { daemon: usize, count: u32 },
    /// A daemon's clock runs at another rate.
    Drift {
        daemon: usize,
        /// The rate in thousandths of the right one. At 0 the clock is stopped.
        permille: u32,
        length: u64,
    },
    /// A daemon's clock jumps ahead.
    Leap { daemon: usize, by: u64 },
    /// The store's clock jumps.
    StoreClock {
        /// The distance in microseconds, negative to jump back.
        by: i64,
    },
    /// The store goes back to its state of `back` ago. Claims and answers of the lost time are
    /// still in flight.
    Restore { back: u64 },
    /// The next execution of a daemon goes wrong.
    Handler { daemon: usize, fault: HandlerFault },
    /// The executor of a daemon starts no handlers for `length`.
    Full { daemon: usize, length: u64 },
    /// The destination of one trigger is down: each of its executions fails for `length`.
    Down { to: String, length: u64 },
}

/// A store clock that was set back by more than this makes the store move its due times.
const MOVES_TIMES_US: u64 = 60_000_000;
/// The longest time until the discovery that moves the times.
const MOVED_AFTER_US: u64 = 2_000_000;

impl Fault {
    /// How long the jump of the store's clock by `by` affects all daemons. A clock that was set
    /// back a little seems to stand still until it has caught up. A jump ahead only ends leases.
    pub(crate) fn store_clock_effects(by: i64) -> u64 {
        let distance = by.unsigned_abs();
        match by {
            0.. => 1,
            _ if distance <= MOVES_TIMES_US => distance,
            _ => MOVED_AFTER_US,
        }
    }
}

/// The point at which a daemon dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CrashPoint {
    Now,
    /// Before it sends a request to the store.
    Asking,
    /// After the store has applied its request and before the answer arrives.
    Applied,
    /// When it starts an execution.
    Starting,
    /// In the middle of an execution.
    Running,
    /// After the end of an execution, with its outside effects done, and before the settlement.
    Ended,
    /// After it got the answer that settlements were applied.
    Settled,
}

/// The failure of one particular store call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallFault {
    /// The caller dies, at [`CrashPoint::Asking`] or [`CrashPoint::Applied`].
    Crash(CrashPoint),
    Store(StoreFault),
}

/// The failure of a store call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoreFault {
    /// Not applied, for an unspecified reason.
    Refused,
    /// Not applied, because of a deadlock or a serialization failure.
    Contention,
    /// Not applied, because no connection became free for this long.
    Exhausted(u64),
    /// Not applied. The caller gets an error with an unknown fate.
    QuestionLost,
    /// Applied. The caller gets an error with an unknown fate.
    AnswerLost,
    /// Applied, and answered twice.
    AnswerTwice,
    /// Applied after this delay. Before, the caller gets an error with an unknown fate.
    Late(u64),
    /// Applied after this delay, then answered.
    Slow(u64),
    /// Applied at once, answered after this delay.
    AnswerSlow(u64),
}

/// The failure of an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HandlerFault {
    /// The handler never ends.
    Hang,
    Panic,
    /// The handler finished its outside work and reports a failure.
    SuccessAsFailure,
    /// The handler fails and requests a retry after this long.
    RetryAfter(u64),
    /// The handler fails permanently.
    Permanent,
    /// The principal may no longer run the handler.
    Denied,
    /// The handler does not exist.
    Missing,
    /// The executor does not start the handler.
    NotStarted,
}
