//! The inputs and outputs of the [`Dispatcher`](crate::Dispatcher). Read this file first.
//!
//! **After one or more `handle` calls, call `poll` until it returns `Idle` or `Stopped`; only then
//! wait.**
//!
//! Inputs and outputs are plain data. They can be compared, recorded in a journal and replayed.
//!
//! Every [`Action`] that expects an answer has an [`OpId`], and the answer quotes it. An answer to
//! an operation that is not in flight is stale: it is counted and otherwise ignored.

use crate::attempt::{AbandonCause, Attempt, DeadReason};
use crate::config::GateLimits;
use crate::delivery::{Delivery, Run};
use crate::names::{InboxId, Incarnation, OpId, TriggerId};
use crate::outcome::{Failure, Outcome};
use crate::rng::RngKey;
use crate::store::{Reply, Request, StoreError};
use crate::sync::{SyncCall, SyncOutcome, SyncReply};
use crate::time::{Micros, Mono};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The identity of a dispatcher, given at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// The life of this dispatcher, from start to stop. No other dispatcher ever has the same.
    pub incarnation: Incarnation,
    /// The key of every random number, so that a run can be repeated.
    pub rng_key: RngKey,
}

/// An event that the dispatcher handles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// Time has passed. It must be sent at the `wake_at` of [`Output::Idle`] at the latest, and may
    /// be sent at any time.
    Tick,
    /// Lanes may have got rows.
    WakeUp {
        lanes: Vec<TriggerId>,
        /// Whether lanes that are not named may have got rows too. Requests a discovery.
        discover: bool,
    },
    /// A transaction of this process has claimed rows that it wrote.
    ///
    /// The claim respects the [`inline_room`](crate::Dispatcher::inline_room) of the dispatcher,
    /// and its leases last as long as those of an exchange. One such transaction runs at a time:
    /// the next one begins after the dispatcher has handled the claim of the previous one.
    InlineClaim {
        claimed: Vec<Arc<Delivery>>,
        /// A time before the transaction began. The leases are counted from it.
        begun_at: Mono,
    },
    /// A transaction of this process may return up to `rows` rows as an [`Input::InlineClaim`].
    /// They count as requested until that input arrives, or until this one reports 0 rows.
    ///
    /// No inline claim begins while the dispatcher is polled, and the one in flight was reported
    /// before.
    InlineClaimInFlight { rows: u32 },
    /// A store call was answered, or it failed.
    StoreAnswered { op: OpId, result: Result<Reply, StoreError> },
    /// A handler finished, failed, timed out or did not start.
    ExecutionEnded {
        op: OpId,
        outcome: Outcome,
        /// How long the execution waited for the store and for a thread before its handler began.
        /// Ignored if the handler did not start.
        start_wait: Micros,
    },
    /// A caller requests an execution and waits for its reply.
    SyncCalled { call: Arc<SyncCall> },
    /// A caller hung up before it got a reply.
    CallerGone { inbox: InboxId },
    /// The hand-over of a reply ended.
    ReplyDelivered {
        op: OpId,
        /// Whether the caller took the reply. `false` if the caller had hung up.
        delivered: bool,
    },
    /// Replaces the limits of the gate.
    GateChanged { limits: GateLimits },
    /// Stop: claim nothing more, and finish or release every held claim.
    ShutdownRequested,
}

/// The effect of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Disposition {
    /// The input was applied.
    Accepted,
    /// The input answers an operation that is not in flight. Only the count of stale answers
    /// changed.
    Stale,
    /// The input is invalid: a store's reply of the wrong kind, limits out of range, or a second
    /// call for one inbox. Nothing changed. The call that the reply quoted is still in flight.
    Rejected,
}

/// The result of a poll.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// The caller of `poll` must start this now.
    Action(Action),
    /// A fact for logs, metrics and checkers. It needs no answer.
    Fact(Fact),
    /// Nothing is left to do before the next input.
    Idle {
        /// When to send [`Input::Tick`] at the latest. `None` if only an answer can cause more
        /// work.
        wake_at: Option<Mono>,
        /// The work that is due at `wake_at`.
        reason: IdleReason,
    },
    /// The shutdown is complete. No action will follow.
    Stopped,
}

/// Work for the process around the dispatcher. One input answers each action and quotes its `op`,
/// except for [`Action::Cancel`], which has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Call the store. The answer is [`Input::StoreAnswered`].
    CallStore { op: OpId, request: Request },
    /// Run the handler of a delivery. The answer is [`Input::ExecutionEnded`].
    Execute { op: OpId, delivery: Arc<Delivery> },
    /// Hand a reply to the caller of `inbox`. The answer is [`Input::ReplyDelivered`].
    Reply { op: OpId, inbox: InboxId, reply: SyncReply },
    /// Drop the execution that `op` started. Its outcome would be stale, and need not be sent.
    Cancel { op: OpId },
}

/// The work that is due at the `wake_at` of [`Output::Idle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum IdleReason {
    /// When the back-off after a failed store call ends.
    StoreBackoff,
    /// When to discover rows that no wake-up announced.
    Poll,
    /// When a known row becomes due.
    LaneDue,
    /// When a known suspect becomes due.
    SuspectDue,
    /// When to renew the held claims.
    Renew,
    /// When to fail an execution that does not end.
    Overrun,
    /// When to defer rows that have waited too long for a permit.
    QueueWait,
    /// When a lane may give rows again whose handlers did not start.
    LaneRest,
    /// When to refuse a call that has waited too long for a permit.
    SyncWait,
    /// When a shutdown cancels the running executions, or gives up on the last settlements.
    ShutdownGrace,
    /// No time is set: only an answer can cause more work.
    Answers,
}

/// A fact: something that the dispatcher did or noticed. Logs, metrics and the simulator's checkers
/// read this stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    /// An exchange was answered.
    ExchangeAnswered {
        /// The number of settlements that were applied.
        settled: u32,
        /// The number of rows that were claimed.
        claimed: u32,
        /// From the request to the answer.
        took: Micros,
    },
    /// A transaction of this process has claimed `claimed` rows that it wrote.
    InlineClaim { claimed: u32 },
    /// An execution starts: it has a permit. Its handler begins after the start wait.
    ExecutionStarted {
        delivery: Arc<Delivery>,
        /// From the due time to the start, by the store's clock. For a sync call from its arrival.
        waited: Micros,
    },
    /// A settlement was applied.
    DeliverySettled {
        delivery: Arc<Delivery>,
        ending: Ending,
        /// The last run of the handler under this claim. `None` if it did not run.
        run: Option<Run>,
    },
    /// A settlement was fenced: its claim was no longer valid, and the store changed nothing.
    SettlementFenced {
        delivery: Arc<Delivery>,
        /// Whether the settlement was sent before and its answer was lost. Then the store has
        /// probably applied it the first time.
        resent: bool,
    },
    /// The store refused the data of an exchange. Its settlements are sent again in two halves.
    ExchangeRefused {
        /// The number of settlements in the exchange.
        settlements: u32,
        error: StoreError,
    },
    /// The store refused the data of this settlement alone. A settlement without the data replaces
    /// it, or the claim is dropped.
    SettlementRefused {
        delivery: Arc<Delivery>,
        /// The name of the refused verdict.
        verdict: String,
        error: StoreError,
    },
    /// The store refused the data of new sync calls. Each of several is sent again alone.
    CallsRefused { calls: u32, error: StoreError },
    /// A sync call was refused. Nothing was written for it.
    CallRefused {
        call: Arc<SyncCall>,
        /// The reply to the caller. `None` if the caller had hung up.
        failure: Option<Failure>,
        /// From the arrival of the call.
        waited: Micros,
    },
    /// A sync call repeats an earlier call by its idempotency key, and gets the reply of that call.
    CallRepeated { call: Arc<SyncCall> },
    /// Another writer changed a value that the handler had read. The handler runs again, unless the
    /// dispatcher shuts down or the claim has had too many conflicts.
    EffectsConflicted {
        delivery: Arc<Delivery>,
        /// How many times this delivery has conflicted, counted from 1.
        times: u32,
    },
    /// A claim was lost before or during its execution. An outcome of that execution is discarded.
    LeaseLost { delivery: Arc<Delivery> },
    /// A handler did not start, because the executor could not run it.
    HandlerNotStarted {
        delivery: Arc<Delivery>,
        /// The reason, for people.
        reason: String,
        /// Whether a rest of the lane begins. The executions that began before it are reported with
        /// `false`, and so are sync calls.
        begins_rest: bool,
    },
    /// An execution did not end in the time `overrun_ms` after its timeout. It was cancelled and
    /// counts as timed out.
    ExecutionOverran { delivery: Arc<Delivery> },
    /// A store call failed.
    StoreFailed {
        /// The name of the request.
        request: String,
        error: StoreError,
        /// Failed calls since the last answer, including this one.
        failures: u32,
        /// The back-off: no store call is made before it has passed.
        retry_in: Micros,
    },
    /// The store answers again.
    StoreRecovered {
        /// Failed calls before this answer.
        failures: u32,
        /// The time since the first of them.
        after: Micros,
    },
    /// The dispatcher began to shut down.
    ShutdownStarted {
        /// Executions that still run.
        running: u32,
    },
}

/// The end of a delivery, or of one attempt: a [`Verdict`](crate::Verdict) without its effects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// The handler succeeded, and the row is deleted.
    Done,
    /// The attempt failed. The row is due again after `delay`.
    Retry { delay: Micros, failed: Attempt },
    /// The delivery became a dead letter.
    Dead {
        reason: DeadReason,
        /// The number of attempts that were made.
        attempts: u32,
        /// The last attempt. `None` if it was lost.
        failed: Option<Attempt>,
    },
    /// The chain of events was too deep, and the row is deleted.
    Dropped,
    /// The row was not executed. It is due again after `delay`.
    Deferred { delay: Micros },
    /// A dead-letter handler succeeded.
    Handled,
    /// A dead-letter handler failed.
    HandlerFailed { failed: Attempt },
    /// A sync caller got its reply.
    Replied { outcome: SyncOutcome },
    /// A sync delivery lost its caller.
    Abandoned { cause: AbandonCause },
}

impl Ending {
    /// The name in metrics and logs.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Retry { .. } => "retry",
            Self::Dead { .. } => "dead",
            Self::Dropped => "dropped",
            Self::Deferred { .. } => "deferred",
            Self::Handled => "handled",
            Self::HandlerFailed { .. } => "handler_failed",
            Self::Replied { .. } => "replied",
            Self::Abandoned { .. } => "abandoned",
        }
    }
}
