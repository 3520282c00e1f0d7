//! Every decision of Tidegate, and no IO.
//!
//! The [`Dispatcher`] is a state machine. Its inputs are events and the current time. Its outputs
//! are actions for the process around it. So production, a simulated week, a fuzzer and a replayed
//! incident run the same code with a different process around it.
//!
//! Read [`io`] first, then `delivery.rs`, `store.rs` and `dispatcher/mod.rs`.

mod attempt;
mod call_row;
mod claim;
mod cloudevents;
mod config;
mod cron;
mod delivery;
mod dispatcher;
mod effects;
mod event;
mod fanout;
mod gate;
pub mod io;
mod isolation;
mod json;
mod lanes;
mod letter;
mod names;
mod outcome;
mod pattern;
mod principal;
mod refusal;
mod reply;
mod retry;
mod retry_policy;
mod rng;
mod room;
mod route;
mod store;
mod sync;
mod time;
mod trigger;

pub use attempt::{AbandonCause, Attempt, DeadReason};
pub use call_row::CallRow;
pub use claim::Claim;
pub use cloudevents::{CloudEvent, IncomingCloudEvent, InvalidCloudEvent};
pub use config::{Config, ConfigSpec, GateLimits, InvalidConfig};
pub use cron::{CronExpression, InvalidSchedule, TimeZone};
pub use delivery::{Delivery, Kind, Run, Verdict, refuse, settle};
pub use dispatcher::{Dispatcher, View};
pub use effects::{Effects, KvWrite, ReadVersion, Version};
pub use event::{Cause, Event, NewEvent, Parent, Source};
pub use fanout::matching_triggers;
pub use gate::{Caller, ExecutionGate};
pub use io::{Action, Boot, Disposition, Ending, Fact, IdleReason, Input, Output};
pub use isolation::Isolation;
pub use json::{InvalidJson, Json};
pub use letter::LetterEvent;
pub use names::{
    AppName, Collection, DeadLetterId, DeliveryId, EventId, EventType, InboxId, Incarnation, InvalidName, Key, Lease,
    OpId, PrincipalId, ScriptName, Subject, TriggerId, TriggerName,
};
pub use outcome::{ExecError, Failure, HandlerReply, InboxFailureKind, Outcome, ReplyBody};
pub use pattern::{InvalidPattern, Pattern};
pub use principal::{Access, Principal, Role, Standing};
pub use retry::loss_backoff;
pub use retry_policy::{Backoff, InvalidRetryPolicy, RetryPolicy, RetryPolicySpec};
pub use rng::{Purpose, RngKey};
pub use room::{ClaimRoom, InlineRoom};
pub use route::{InvalidRoute, RouteMethod, RoutePath};
pub use store::{
    BeginCallsReply, DiscoverReply, ExchangeReply, Fate, LaneQuota, LaneState, RenewReply, Reply, Request, Schedule,
    Settlement, StoreError, StoreErrorKind, SuspectClaim, SuspectLane, Tick, TickReply,
};
pub use sync::{IdempotencyKey, Refusal, SyncCall, SyncOutcome, SyncReply, SyncTarget};
pub use time::{Micros, Mono, Timestamp};
pub use trigger::{Handler, KvOp, KvOps, Match, MaxConcurrency, TimeoutMs, Trigger, TriggerSpec};
