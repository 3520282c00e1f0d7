//! What goes into the [`Dispatcher`](crate::Dispatcher) and what comes out of it. Read this first.
//!
//! **After every `handle`, call `poll` until it returns `Idle`; only then wait.**
//!
//! All of it is plain data that can be compared, kept in a journal and played back. Every [`Action`] that expects an
//! answer carries an [`OpId`], and the answer quotes it; an answer to nobody is stale, counted and ignored.

use crate::config::GateLimits;
use crate::delivery::{AbandonCause, Attempt, DeadReason, Delivery};
use crate::names::{InboxId, Incarnation, OpId, TriggerId};
use crate::outcome::{Failure, Outcome};
use crate::rng::RngKey;
use crate::store::{Reply, Request, StoreError};
use crate::sync::{SyncCall, SyncOutcome, SyncReply};
use crate::time::{Micros, Mono};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a dispatcher is born with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// This life. Never used by another.
    pub incarnation: Incarnation,
    /// The key of every random draw.
    pub rng_key: RngKey,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// Time has passed: `wake_at` has come, or it is not known why we woke.
    Tick,
    /// Rows may have come.
    WakeUp {
        /// Into these lanes.
        lanes: Vec<TriggerId>,
        /// Maybe into others too.
        discover: bool,
    },
    /// An emission of the same process has carried a claim: its transaction has claimed rows that it wrote, in the room
    /// that [`View::room`](crate::View::room) said there is, in other lanes than
    /// [`closed_lanes`](crate::Dispatcher::closed_lanes), leased for as long as an exchange leases. There is one such
    /// transaction at a time: none begins before this has told what the last one claimed.
    InlineClaim {
        /// The rows.
        claimed: Vec<Delivery>,
        /// Before the transaction began.
        begun_at: Mono,
    },
    /// A store call ended.
    StoreAnswered {
        /// Which.
        op: OpId,
        /// How.
        result: Result<Reply, StoreError>,
    },
    /// An execution ended.
    ExecutionEnded {
        /// Which.
        op: OpId,
        /// How.
        outcome: Outcome,
    },
    /// Somebody calls and waits.
    SyncCalled {
        /// What for.
        call: Arc<SyncCall>,
    },
    /// A caller waits no longer.
    CallerGone {
        /// Which.
        inbox: InboxId,
    },
    /// A reply was handed over, or nobody was there to take it.
    ReplyDelivered {
        /// Which.
        op: OpId,
        /// Whether it was handed over.
        delivered: bool,
    },
    /// The gate's limits are to be others from now on.
    GateChanged {
        /// The new ones.
        limits: GateLimits,
    },
    /// Claim no more; finish or release what is held; then stop.
    ShutdownRequested,
}

/// What became of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Disposition {
    /// It was taken in.
    Accepted,
    /// It answers a question that nobody waits for any more.
    Stale,
    /// It cannot be: a store's answer of the wrong kind, or limits out of range. Nothing changed.
    Rejected,
}

/// What comes out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// To be done now.
    Action(Action),
    /// Something that is so: for logs, metrics and checkers.
    Fact(Fact),
    /// Nothing more to do before the next input.
    Idle {
        /// When to send [`Input::Tick`] at the latest. `None` when nothing is waited for but answers.
        wake_at: Option<Mono>,
        /// What is to be done then.
        reason: IdleReason,
    },
    /// The shutdown is complete. Nothing is ever to be done again.
    Stopped,
}

/// What is to be done. Each is answered by one input that quotes its `op`, but for [`Action::Cancel`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Call the store; answered by [`Input::StoreAnswered`].
    CallStore {
        /// To be quoted.
        op: OpId,
        /// What.
        request: Request,
    },
    /// Run the handler; answered by [`Input::ExecutionEnded`].
    Execute {
        /// To be quoted.
        op: OpId,
        /// What.
        delivery: Arc<Delivery>,
    },
    /// Hand a reply to its caller; answered by [`Input::ReplyDelivered`].
    Reply {
        /// To be quoted.
        op: OpId,
        /// To whom.
        inbox: InboxId,
        /// What.
        reply: SyncReply,
    },
    /// Drop the execution: nobody waits for its outcome any more, and none need be sent.
    Cancel {
        /// Which.
        op: OpId,
    },
}

/// What the dispatcher waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum IdleReason {
    /// When to look again at a store that failed.
    StoreBackoff,
    /// When to look for work that nobody told of.
    Poll,
    /// When a row becomes due that is known already.
    LaneDue,
    /// When to renew what is held.
    Renew,
    /// When to write off an execution that does not end.
    Overrun,
    /// When to defer what has waited too long for a permit.
    QueueWait,
    /// When to tell a caller that no permit has become free.
    SyncWait,
    /// When to stop waiting for what runs.
    ShutdownGrace,
    /// Only for answers.
    Answers,
}

/// Something that is so. The one stream behind logs, metrics and the simulator's checkers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    /// An exchange was answered.
    ExchangeAnswered {
        /// Settlements that were applied.
        settled: u32,
        /// Rows that were claimed.
        claimed: u32,
        /// From question to answer.
        took: Micros,
    },
    /// An emission has claimed rows for this dispatcher.
    InlineClaim {
        /// How many.
        claimed: u32,
    },
    /// An execution begins.
    ExecutionStarted {
        /// Of what.
        delivery: Arc<Delivery>,
        /// From due to now by the store's clock; for a sync call from its arrival.
        waited: Micros,
    },
    /// A settlement was applied.
    DeliverySettled {
        /// Whose.
        delivery: Arc<Delivery>,
        /// What became of it.
        ending: Ending,
        /// How long the last execution took, if there was one.
        took: Option<Micros>,
    },
    /// A settlement came too late: the claim was no longer valid, nothing changed.
    SettlementFenced {
        /// Whose.
        delivery: Arc<Delivery>,
        /// Whether it was sent before without an answer: then that first time was probably the one that counted.
        resent: bool,
    },
    /// A sync call was refused before anything was written.
    CallRefused {
        /// The call.
        call: Arc<SyncCall>,
        /// What its caller is told. `None`: it had hung up.
        failure: Option<Failure>,
        /// How long it had waited.
        waited: Micros,
    },
    /// A sync call repeats one by its idempotency key, and gets that one's reply.
    CallRepeated {
        /// The call.
        call: Arc<SyncCall>,
    },
    /// Somebody else wrote what the handler had read; it runs again at once.
    EffectsConflicted {
        /// Whose.
        delivery: Arc<Delivery>,
        /// For the how manyeth time.
        times: u32,
    },
    /// A claim was lost before its execution began, or while it ran; its outcome will change nothing.
    LeaseLost {
        /// Whose.
        delivery: Arc<Delivery>,
    },
    /// An execution did not end in time and was written off.
    ExecutionOverran {
        /// Of what.
        delivery: Arc<Delivery>,
    },
    /// A store call failed.
    StoreFailed {
        /// Which.
        request: String,
        /// How.
        error: StoreError,
        /// How often in a row.
        failures: u32,
        /// When the next call is made.
        retry_in: Micros,
    },
    /// The store answers again.
    StoreRecovered {
        /// After so many failures.
        failures: u32,
        /// Since the first of them.
        after: Micros,
    },
    /// The shutdown began.
    ShutdownStarted {
        /// What is still running.
        running: u32,
    },
}

/// How a delivery ended, for now or for good: a [`Verdict`](crate::Verdict) without its effects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// Succeeded.
    Done,
    /// Failed; tried again later.
    Retry {
        /// When.
        delay: Micros,
        /// What failed.
        failed: Attempt,
    },
    /// Became a dead letter.
    Dead {
        /// Why.
        reason: DeadReason,
        /// After so many attempts.
        attempts: u32,
        /// The last one, unless it was lost.
        failed: Option<Attempt>,
    },
    /// Too deep a chain.
    Dropped,
    /// Not executed; comes again.
    Deferred {
        /// When.
        delay: Micros,
    },
    /// A dead-letter handler succeeded.
    Handled,
    /// A dead-letter handler failed.
    HandlerFailed {
        /// What failed.
        failed: Attempt,
    },
    /// A sync caller has its reply.
    Replied {
        /// What it was told.
        outcome: SyncOutcome,
    },
    /// A sync delivery without its caller.
    Abandoned {
        /// Why.
        cause: AbandonCause,
    },
}
