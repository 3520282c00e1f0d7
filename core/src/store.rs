//! The dispatcher's contract with its store, as data. Every store implements it as one function from [`Request`] to
//! [`Reply`]; the simulator's does it on memory, so faults, journal and conformance have one place to stand.
//!
//! Who is authoritative: the store, for every row, every lease and the clock that both are measured by. A dispatcher
//! holds copies, and each settlement says which claim it speaks for.

use crate::claim::Claim;
use crate::cron::{CronExpression, TimeZone};
use crate::delivery::{Delivery, Verdict};
use crate::names::{InboxId, TriggerId};
use crate::sync::{Refusal, SyncCall, SyncReply};
use crate::time::{Micros, Timestamp};
use serde::{Deserialize, Serialize};

/// What a dispatcher asks of its store. Each is one transaction: applied whole, or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Settles what is finished, then claims what is next: one round trip, one commit.
    Exchange {
        /// In this order: an earlier settlement's effects may conflict with a later one's reads. At most one per delivery.
        settle: Vec<Settlement>,
        /// At most one per lane.
        claim: Vec<LaneQuota>,
        /// How long the claimed rows are leased, from the store's now.
        lease_for: Micros,
    },
    /// Writes the rows of sync calls, already leased to the daemon that asks: no other one ever executes them.
    BeginCalls {
        /// Each of them once.
        calls: Vec<SyncCall>,
        /// How long the rows are leased, from the store's now.
        lease_for: Micros,
    },
    /// Prolongs leases that are still held.
    Renew {
        /// Which claims.
        held: Vec<Claim>,
        /// How long, from the store's now.
        lease_for: Micros,
    },
    /// Looks which lanes have rows to claim, now or later, and which schedules are due.
    Discover,
    /// Lets cron triggers tick.
    Tick {
        /// At most one per trigger.
        ticks: Vec<Tick>,
    },
}

impl Request {
    /// Its name in logs and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Exchange { .. } => "exchange",
            Self::BeginCalls { .. } => "begin_calls",
            Self::Renew { .. } => "renew",
            Self::Discover => "discover",
            Self::Tick { .. } => "tick",
        }
    }
}

/// What becomes of one claimed delivery. If its claim is no longer valid it changes nothing and is reported as fenced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    /// Whose.
    pub claim: Claim,
    /// What.
    pub verdict: Verdict,
}

/// How many rows of one lane to claim: due ones, not leased or with their lease expired, in `(due_at, id)` order.
/// Nothing is claimed of a paused trigger, nor beyond its `max_concurrency` over all daemons' live leases.
///
/// A claim makes `attempt` one more, but never more than one past the policy's `max_attempts`: a claim beyond the last
/// attempt executes nothing and is no attempt, however often it is lost. An expired lease's attempt is recorded as
/// `lost` if it was one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneQuota {
    /// The lane.
    pub trigger: TriggerId,
    /// At most so many.
    pub quota: u32,
    /// Only rows with `due_at >= floor`: the walk need not pass over what was deleted before it.
    pub floor: Timestamp,
}

/// The answer to a [`Request`]: the variant of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// To [`Request::Exchange`].
    Exchange(ExchangeReply),
    /// To [`Request::BeginCalls`].
    BeginCalls(BeginCallsReply),
    /// To [`Request::Renew`].
    Renew(RenewReply),
    /// To [`Request::Discover`].
    Discover(DiscoverReply),
    /// To [`Request::Tick`].
    Tick(TickReply),
}

/// The result of an exchange. A settlement that is neither fenced nor conflicted was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeReply {
    /// The store's clock, read within the transaction.
    pub now: Timestamp,
    /// Settlements whose claim was no longer valid: nothing changed.
    pub fenced: Vec<Claim>,
    /// Settlements whose effects conflict: nothing changed, the row is still leased by this claim.
    pub conflicted: Vec<Claim>,
    /// The claimed rows, leased and with their attempt counted: lane by lane, each in `(due_at, id)` order.
    pub claimed: Vec<Delivery>,
    /// Lanes that got rows from the applied effects or from dead letters.
    pub woken_lanes: Vec<TriggerId>,
}

/// The result of [`Request::BeginCalls`]. Each call is in exactly one of the three lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeginCallsReply {
    /// The store's clock, read within the transaction.
    pub now: Timestamp,
    /// The written rows, leased and with their first attempt counted, in the order of the calls.
    pub deliveries: Vec<Delivery>,
    /// Calls for which no row was written.
    pub refused: Vec<(InboxId, Refusal)>,
    /// Calls that repeat an earlier call by its idempotency key. No row was written; each gets the earlier reply.
    pub repeated: Vec<(InboxId, SyncReply)>,
}

/// The result of a renewal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewReply {
    /// The store's clock, read within the transaction.
    pub now: Timestamp,
    /// Claims that are no longer valid.
    pub fenced: Vec<Claim>,
}

/// The result of a discovery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoverReply {
    /// The store's clock, read within the transaction.
    pub now: Timestamp,
    /// Every lane whose trigger is not paused and that has a row without a valid lease, ordered by trigger.
    pub lanes: Vec<LaneState>,
    /// Every enabled cron trigger whose next tick is due or unknown.
    pub schedules: Vec<Schedule>,
}

/// The result of offering ticks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TickReply {
    /// The store's clock, read within the transaction.
    pub now: Timestamp,
    /// Lanes that got rows.
    pub woken_lanes: Vec<TriggerId>,
}

/// A cron trigger that has to be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// The trigger.
    pub trigger: TriggerId,
    /// When it ticks.
    pub expression: CronExpression,
    /// By whose wall clock.
    pub time_zone: TimeZone,
    /// The due tick. `None` for a trigger that is new, was changed or was enabled: its past is not made up for.
    pub next_tick: Option<Timestamp>,
}

/// One cron trigger's tick. It changes nothing if the trigger's next tick is not the expected one any more: then
/// another daemon was faster, or the trigger was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// The trigger.
    pub trigger: TriggerId,
    /// The tick that was found. If it is known, it is emitted: source `cron`, type `cron.tick`, the trigger's name as
    /// subject, `{"scheduled_at": …}` in RFC 3339 as data, actor `system`, one row for this trigger.
    pub expected: Option<Timestamp>,
    /// The one after it.
    pub next: Timestamp,
}

/// One lane that has rows to claim, now or later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneState {
    /// The lane.
    pub trigger: TriggerId,
    /// The earliest `due_at` of its rows that are not leased or whose lease has expired.
    pub next_due: Timestamp,
    /// The trigger's limit over all daemons.
    pub max_concurrency: Option<u32>,
}

/// Why a store call failed, and what is known of its fate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct StoreError {
    /// Whether it may have been applied all the same.
    pub fate: Fate,
    /// Who must do something.
    pub kind: StoreErrorKind,
    /// For people.
    pub message: String,
}

/// What is known of a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Fate {
    /// Certainly not applied.
    NotApplied,
    /// Applied or not: the connection broke between the question and the answer.
    Unknown,
}

/// The kinds of store failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StoreErrorKind {
    /// Cannot be reached, shut down, out of connections, disk full: waiting may help.
    Unavailable,
    /// A deadlock or serialization failure: trying again helps.
    Contention,
    /// The store refused the call itself: a bug, or a schema that is not this program's.
    Refused,
}

impl StoreError {
    /// A failure that was certainly not applied.
    #[must_use]
    pub fn not_applied(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self { fate: Fate::NotApplied, kind, message: message.into() }
    }

    /// A failure that may have been applied.
    #[must_use]
    pub fn unknown(message: impl Into<String>) -> Self {
        Self { fate: Fate::Unknown, kind: StoreErrorKind::Unavailable, message: message.into() }
    }
}
