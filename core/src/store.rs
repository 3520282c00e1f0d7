//! The contract between the dispatcher and its store, as data. Every store implements it as one
//! function from [`Request`] to [`Reply`]. The store of the simulator implements it in memory, so
//! that faults, the journal and the conformance suite all work on the same two types.
//!
//! The store is authoritative for every row, for every claim and for the clock that measures both.
//! A dispatcher holds copies. Each of its settlements names the claim that it was made under.
//!
//! # Claims
//!
//! All rows that one request takes from one lane are one claim. They have the same number
//! ([`Lease`](crate::Lease)) and the same end of their lease. Rows of different lanes, and rows of
//! different requests, have different numbers. No number is ever used twice, even if the store is
//! restored to an earlier state.
//!
//! A claim *holds* a row until the row leaves the claim: its settlement is applied, or the claim is
//! ended. A row with the verdict `Executed` stays in its claim. A row that no claim holds is
//! *free*.
//!
//! # Losses
//!
//! When the lease expires, the claim stays valid for the rows that it still holds, until an
//! exchange with a [`SuspectClaim`] for its lane *ends* the claim. Each of its rows leaves the
//! claim and becomes a *suspect*: its handler may have ended the process.
//!
//! * A row that the dispatcher was to start at once ([`LaneQuota::starts`]) is lost: its handler
//!   may have begun. Its `lost` grows by one, and the lost attempt is recorded in its history. It
//!   is due after [`loss_backoff`](crate::loss_backoff). If `lost` has reached
//!   [`RetryPolicy::max_lost`](crate::RetryPolicy::max_lost) before, the row was claimed to be
//!   settled and not to be executed: then neither grows.
//! * Any other row was held ahead. Its handler has probably not begun, so nothing is counted or
//!   recorded, and its due time stays. If its policy permits one loss only, it counts as lost
//!   anyway, because such a row must never begin twice.
//!
//! A suspect starts at once when it is claimed, so its next loss counts. No quota of a lane gives
//! suspects. A [`SuspectClaim`] gives one that was lost, or several that were held ahead. A row
//! that was lost stays a suspect until it is deleted, also after a retry or a deferral. A row that
//! was held ahead then waits in its lane again.
//!
//! # Floors
//!
//! The store keeps a floor of each lane, a pair `(due_at, id)`: the last free row that a claim took
//! from the lane. The next claim begins there, so that it does not walk over the rows that earlier
//! claims took. Rows that became visible late may be free below the floor. A claim looks back for
//! them as far as its [`LaneQuota::look_back`]; [`Request::Discover`] finds all others.
//!
//! A claim that takes as many rows as it may moves the floor to its last free row, even if this row
//! is below the floor: more rows may be free between the two. Any other claim only raises the
//! floor.
//!
//! Rows that are claimed as they are written (inline claims, sync calls) move no floor, and neither
//! do suspects.

use crate::claim::Claim;
use crate::cron::{CronExpression, TimeZone};
use crate::delivery::{Delivery, Verdict};
use crate::names::{InboxId, TriggerId};
use crate::sync::{Refusal, SyncCall, SyncReply};
use crate::time::{Micros, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A call of the store. Each is one transaction: the store applies all of it or none of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Settles finished deliveries, then claims new ones: one round trip and one commit.
    Exchange {
        /// Settled in this order, at most one per delivery. The effects of an earlier settlement
        /// may conflict with the reads of a later one.
        settle: Vec<Settlement>,
        /// The quotas of the claims, at most one per lane. Each lane that gives rows makes one
        /// claim.
        claim: Vec<LaneQuota>,
        /// The claim of suspects. It comes after the settlements and after the other claims.
        suspect: Option<SuspectClaim>,
        /// The most bytes of event data that the rows of the quotas have, and the most that the
        /// suspects have. The first row of the quotas and the first suspect are claimed in any
        /// case.
        claim_bytes_max: u64,
        /// The lease of the claims, from the store's now.
        lease_for: Micros,
    },
    /// Writes the rows of sync calls. The rows are already claimed by the calling daemon, so no
    /// other daemon executes them. The rows of one lane are one claim.
    BeginCalls {
        /// Calls with different inboxes.
        calls: Vec<SyncCall>,
        /// The lease of the claims, from the store's now.
        lease_for: Micros,
    },
    /// Extends the leases of claims that are still valid. A renewal that names one row which a
    /// claim holds extends the lease for all rows of this claim.
    ///
    /// A claim with an expired lease is valid until it is ended. If its trigger has a
    /// `max_concurrency`, its renewal is fenced anyway, because other rows may have taken the slots
    /// of the expired lease.
    Renew {
        held: Vec<Claim>,
        /// The new lease, from the store's now.
        lease_for: Micros,
    },
    /// Lists the lanes with rows to claim, now or later, and the schedules that are due.
    Discover,
    /// Fires the due ticks of cron triggers.
    Tick {
        /// At most one tick per trigger.
        ticks: Vec<Tick>,
    },
}

impl Request {
    /// The name of the request in logs and metrics.
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

/// The verdict about one claimed delivery. If its claim is no longer valid, the settlement is
/// fenced: it changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    pub claim: Claim,
    pub verdict: Verdict,
}

/// The most rows that a claim may take from one lane.
///
/// A claim takes due rows that are free and no suspects, in the order of `(due_at, id)`. It takes
/// no row of a paused trigger, and no row beyond the `max_concurrency` of the trigger. This limit
/// counts the rows of all daemons that a claim with a live lease holds. A sync execution that has
/// ended, and only waits for the delivery of its reply, does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneQuota {
    /// The trigger of the lane.
    pub trigger: TriggerId,
    /// The most rows to claim.
    pub quota: u32,
    /// How many of these rows the dispatcher starts at once: the first ones. It holds the others
    /// ahead.
    pub starts: u32,
    /// How far the claim looks back for free rows below the lane's floor: it finds those with
    /// `due_at >= look_back`. It finds free rows beyond the floor in any case.
    pub look_back: Timestamp,
}

/// The claim of suspects: of the first free one that is due, in the order of `(lost, due_at, id)`.
/// So no row is lost again before all others have run. If the first one was lost before, it is
/// alone in its claim. If it was held ahead, the claim takes up to `quota` such rows, in the same
/// order. A paused trigger and a `max_concurrency` bound the claim like a
/// [`LaneQuota`].
///
/// Before all claims of its exchange, every expired claim of the lane is ended, even if the trigger
/// is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuspectClaim {
    /// The trigger of the lane.
    pub trigger: TriggerId,
    /// The most rows to claim.
    pub quota: u32,
    /// The wait of a row after its first loss. [`loss_backoff`](crate::loss_backoff) computes the
    /// later ones.
    pub backoff: Micros,
}

/// The reply to a [`Request`]: the variant of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    Exchange(ExchangeReply),
    BeginCalls(BeginCallsReply),
    Renew(RenewReply),
    Discover(DiscoverReply),
    Tick(TickReply),
}

/// The reply to [`Request::Exchange`]. A settlement that is neither fenced nor conflicted was
/// applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeReply {
    /// The store's clock, read within the transaction.
    pub now: Timestamp,
    /// The claims of settlements that were fenced: the claim was no longer valid, and nothing
    /// changed.
    pub fenced: Vec<Claim>,
    /// The claims of settlements with conflicting effects. Nothing changed, and the claim still
    /// holds the row.
    pub conflicted: Vec<Claim>,
    /// The claimed rows, sorted lane by lane, and by `(due_at, id)` within each lane. The suspects
    /// are the last ones, in the same order.
    pub claimed: Vec<Arc<Delivery>>,
    /// How many of the claimed rows are suspects.
    pub suspects: u32,
    /// Whether the bytes ended the claims of the quotas. Then the last lane with rows, and each
    /// lane after it, may have more due rows.
    pub is_cut: bool,
    /// Lanes that got rows from the applied effects or from dead letters.
    pub woken_lanes: Vec<TriggerId>,
}

impl ExchangeReply {
    /// The claimed rows of the lanes, and the claimed suspects.
    #[must_use]
    pub fn split_claimed(&self) -> (&[Arc<Delivery>], &[Arc<Delivery>]) {
        self.claimed.split_at(self.claimed.len().saturating_sub(self.suspects as usize))
    }
}

/// The reply to [`Request::BeginCalls`]. Each call is in exactly one of the three lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeginCallsReply {
    /// The store's clock, read within the transaction.
    pub now: Timestamp,
    /// The written rows, claimed and with their first attempt counted, in the order of the calls.
    pub deliveries: Vec<Arc<Delivery>>,
    /// Calls for which no row was written.
    pub refused: Vec<(InboxId, Refusal)>,
    /// Calls that repeat an earlier call by its idempotency key. No row was written; each gets the
    /// earlier reply.
    pub repeated: Vec<(InboxId, SyncReply)>,
}

/// The reply to [`Request::Renew`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewReply {
    /// The store's clock, read within the transaction.
    pub now: Timestamp,
    /// Exactly those of the given claims that are no longer valid.
    pub fenced: Vec<Claim>,
}

/// The reply to [`Request::Discover`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoverReply {
    /// The store's clock, read within the transaction.
    pub now: Timestamp,
    /// Every lane of a trigger that is not paused and has a free row which is no suspect, in the
    /// order of triggers.
    pub lanes: Vec<LaneState>,
    /// Every lane with an expired claim, and every lane of a trigger that is not paused and has a
    /// free suspect, in the order of triggers.
    pub suspects: Vec<SuspectLane>,
    /// Every enabled cron trigger whose next tick is due or unknown.
    pub schedules: Vec<Schedule>,
}

/// The reply to [`Request::Tick`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TickReply {
    /// The store's clock, read within the transaction.
    pub now: Timestamp,
    /// Lanes that got rows.
    pub woken_lanes: Vec<TriggerId>,
}

/// A cron trigger whose next tick is due or unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    pub trigger: TriggerId,
    /// The times of its ticks, by the wall clock of `time_zone`.
    pub expression: CronExpression,
    pub time_zone: TimeZone,
    /// The due tick. `None` for a trigger that is new, was changed or was enabled: its missed ticks
    /// are not fired.
    pub next_tick: Option<Timestamp>,
}

/// One tick of a cron trigger. The store ignores it if the next tick of the trigger is no longer
/// `expected`: another daemon has fired the tick, or the trigger was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    pub trigger: TriggerId,
    /// The tick that was discovered. If it is known, the store emits one event for this trigger:
    /// source `cron`, type `cron.tick`, the name of the trigger as subject, `{"scheduled_at": …}`
    /// in RFC 3339 as data, actor `system`.
    pub expected: Option<Timestamp>,
    /// The tick after `expected`.
    pub next: Timestamp,
}

/// A lane that has rows to claim, now or later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneState {
    /// The trigger of the lane.
    pub trigger: TriggerId,
    /// The earliest `due_at` of its rows that are free and no suspects.
    pub next_due: Timestamp,
    /// The limit of the trigger over all daemons.
    pub max_concurrency: Option<u32>,
}

/// A lane that has suspects to claim, now or later, or an expired claim to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuspectLane {
    /// The trigger of the lane.
    pub trigger: TriggerId,
    /// The earliest `due_at` of its free suspects, and of the rows of its expired claims.
    pub next_due: Timestamp,
}

/// A failed store call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct StoreError {
    /// Whether the store may have applied the call.
    pub fate: Fate,
    pub kind: StoreErrorKind,
    /// A description for people. API callers may see it, so it has no words of the database.
    pub message: String,
    /// The words of the database, for logs only. They may name roles, tables and values.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// Whether the store applied a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Fate {
    /// The call was certainly not applied.
    NotApplied,
    /// It is unknown whether the call was applied: the connection broke after the request was sent
    /// and before the answer arrived.
    Unknown,
}

/// The reason why a store call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StoreErrorKind {
    /// The store cannot be reached, shuts down, has no free connection or no disk space. A later
    /// call may succeed.
    Unavailable,
    /// A deadlock or a serialization failure. The same call may succeed at once.
    Contention,
    /// The store rejected the call itself: a bug, or a schema of another version.
    Refused,
    /// The file of the store was deleted or replaced while it was open. Later calls fail until the
    /// file is back or the program is restarted.
    Replaced,
    /// The call has more data than the store can take. The same call fails again.
    TooLarge,
    /// The store cannot store the data of the call, for example because they break a constraint.
    /// The same call fails again.
    Unstorable,
}

impl StoreErrorKind {
    /// Whether the data of the call are the reason, so that only another call can succeed.
    #[must_use]
    pub const fn is_of_data(self) -> bool {
        matches!(self, Self::TooLarge | Self::Unstorable)
    }

    /// Whether the store rejected the call, for whatever reason.
    #[must_use]
    pub const fn is_refusal(self) -> bool {
        matches!(self, Self::Refused) || self.is_of_data()
    }
}

impl StoreError {
    /// The message about a database that allows no writes. Callers may see it.
    pub const READ_ONLY: &str = "the database is read-only";

    /// Whether the store refused the data of the call. Nothing was applied.
    #[must_use]
    pub fn refuses_data(&self) -> bool {
        self.fate == Fate::NotApplied && self.kind.is_of_data()
    }

    /// A failed call that was certainly not applied.
    #[must_use]
    pub fn not_applied(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self { fate: Fate::NotApplied, kind, message: message.into(), detail: String::new() }
    }

    /// A failed call that may have been applied.
    #[must_use]
    pub fn unknown(message: impl Into<String>) -> Self {
        let kind = StoreErrorKind::Unavailable;
        Self { fate: Fate::Unknown, kind, message: message.into(), detail: String::new() }
    }

    /// The message and the words of the database, for logs and for operators.
    #[must_use]
    pub fn report(&self) -> String {
        if self.detail.is_empty() { self.message.clone() } else { format!("{}: {}", self.message, self.detail) }
    }

    /// Adds the words of the database.
    #[must_use]
    pub fn with_detail(self, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..self }
    }
}
