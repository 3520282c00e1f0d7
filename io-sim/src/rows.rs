//! The rows of the tables.

use tidegate_core::{
    AbandonCause, AppName, Attempt, Claim, DeadLetterId, DeliveryId, Event, EventId, HandlerReply, InboxId, Json,
    Lease, Match, Micros, RetryPolicy, ScriptName, SyncOutcome, Timestamp, Trigger, TriggerId, Version,
};
use tidegate_ports::{DeadLetter, PrincipalRecord};

#[derive(Clone, Debug)]
pub(crate) struct TriggerRow {
    pub(crate) trigger: Trigger,
    /// The row of a deleted trigger stays, because deliveries still refer to it.
    pub(crate) deleted: bool,
    pub(crate) next_tick: Option<Timestamp>,
    /// Whether this is the lane of an app's invocations. No user wrote it, and no list shows it.
    pub(crate) hidden: bool,
}

impl TriggerRow {
    pub(crate) fn of(trigger: Trigger) -> Self {
        Self { trigger, deleted: false, next_tick: None, hidden: false }
    }

    /// Whether the deliveries of this trigger wait because it is paused. Deliveries of a deleted
    /// trigger are claimed anyway, so that they become dead letters. Deliveries of an HTTP trigger
    /// are claimed only after their daemon died, and are then settled as abandoned.
    pub(crate) fn holds_deliveries(&self) -> bool {
        let is_http = matches!(self.trigger.spec.rule, Match::Http { .. });
        self.trigger.paused && !self.deleted && !is_http
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) value: Json,
    pub(crate) version: Version,
    pub(crate) updated_at: Timestamp,
}

/// One row of the outbox.
#[derive(Clone, Debug)]
pub struct Row {
    pub id: DeliveryId,
    /// The trigger, which names the lane of the row.
    pub trigger: TriggerId,
    pub event: Event,
    /// The retry policy of the trigger when the event was emitted.
    pub policy: RetryPolicy,
    /// The timeout of the trigger when the event was emitted.
    pub timeout: Micros,
    /// The earliest time at which the row may be claimed.
    pub due_at: Timestamp,
    /// When the row was inserted.
    pub enqueued_at: Timestamp,
    /// The number of the row's last claim. Other rows of its lane may have the same one.
    pub lease: Lease,
    /// When the lease of the claim expires. The epoch if no claim holds the row.
    pub lease_until: Timestamp,
    /// When the row was claimed.
    pub(crate) leased_at: Timestamp,
    /// Whether the claim holds the row ahead, so that it does not start at once.
    pub is_ahead: bool,
    /// Whether only a claim of suspects takes the row.
    pub is_suspect: bool,
    /// The number of attempts that failed.
    pub attempt: u32,
    /// The number of losses.
    pub lost: u32,
    /// The failed and the lost attempts, in order.
    pub failed: Vec<Attempt>,
    /// How many times the delivery was redriven.
    pub redrive_generation: u32,
    pub(crate) previous_letter: Option<DeadLetterId>,
    /// The inbox of the sync caller. `None` for a delivery without a caller.
    pub reply_to: Option<InboxId>,
    /// The script that an invocation runs instead of the lane's handler.
    pub(crate) script: Option<ScriptName>,
    /// The outcome of a sync execution, until its reply is delivered.
    pub executed: Option<SyncOutcome>,
    pub(crate) call_key: Option<String>,
    /// The dead letter that this delivery handles.
    pub handles_letter: Option<DeadLetterId>,
}

#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) app: AppName,
    pub(crate) trigger: TriggerId,
    pub(crate) policy: RetryPolicy,
    pub(crate) timeout: Micros,
    pub(crate) letter: DeadLetter,
}

/// A sync call that has an idempotency key.
#[derive(Clone, Debug)]
pub(crate) struct CallKey {
    pub(crate) digest: String,
    /// The claim under which the call is executed. It is the name of the execution.
    pub(crate) claim: Claim,
    pub(crate) reply: Option<HandlerReply>,
    pub(crate) created_at: Timestamp,
}

/// A principal and the hash of its password.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) record: PrincipalRecord,
    pub(crate) hash: Option<String>,
}

/// The events of one chain that were dropped because the chain was too deep.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loop {
    pub(crate) count: u64,
    pub(crate) last_event: EventId,
    pub(crate) last_at: Timestamp,
}

/// An abandoned execution: its reply reached no caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abandoned {
    pub(crate) trigger: TriggerId,
    pub(crate) event: EventId,
    /// The delivery that was executed.
    pub delivery: DeliveryId,
    pub cause: AbandonCause,
    /// The outcome, if the execution ended.
    pub outcome: Option<SyncOutcome>,
    /// When the execution was recorded as abandoned.
    pub at: Timestamp,
}

impl Row {
    /// Whether a claim holds the row, even if its lease has expired.
    #[must_use]
    pub fn is_leased(&self) -> bool {
        self.lease_until > Timestamp::EPOCH
    }

    /// Whether the row waits in its lane or in the quarantine, or will do so after the claim that
    /// holds it is ended.
    #[must_use]
    pub fn can_be_claimed(&self, now: Timestamp) -> bool {
        self.lease_until <= now
    }

    /// Whether the row is free and not a suspect.
    #[must_use]
    pub fn waits(&self) -> bool {
        !self.is_leased() && !self.is_suspect
    }

    /// Whether the lease of the claim that holds the row has expired.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.is_leased() && self.lease_until <= now
    }

    /// Whether the row counts against the `max_concurrency` of its lane. An executed row waits only
    /// for the delivery of its reply, and does not count.
    pub(crate) fn is_running(&self, now: Timestamp) -> bool {
        self.is_leased() && self.lease_until > now && self.executed.is_none()
    }

    pub(crate) fn due_key(&self) -> (TriggerId, Timestamp, DeliveryId) {
        (self.trigger, self.due_at, self.id)
    }
}
