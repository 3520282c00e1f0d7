//! The life of a delivery, from a claimed row to its verdict. [`refuse`] decides whether a claimed
//! row is executed. [`settle`] turns the outcome of an execution into a verdict. Both are pure
//! functions.
//!
//! ```text
//!          emit                     claim
//! (none) ──────▶ ready (due ≤ now) ──────▶ leased ──▶ done          row deleted
//!                  ▲  due later            │   ├────▶ retry         back to ready, due later
//!                  │                       │   ├────▶ dead letter   moved, in one transaction
//!                  │  not started: deferred │   ├────▶ dropped       deleted, no dead letter
//!                  └───────────────────────┘   ├────▶ abandoned     sync only
//!                                              └────▶ suspect       lease expired: run alone
//! ```

use crate::attempt::{AbandonCause, Attempt, DeadReason};
use crate::claim::Claim;
use crate::effects::Effects;
use crate::event::Event;
use crate::names::{DeadLetterId, DeliveryId, InboxId, Lease, PrincipalId, TriggerId, TriggerName};
use crate::outcome::{ExecError, Failure, HandlerReply, Outcome};
use crate::principal::Standing;
use crate::retry_policy::RetryPolicy;
use crate::rng::RngKey;
use crate::sync::SyncOutcome;
use crate::time::{Micros, Timestamp};
use crate::trigger::Handler;
use serde::{Deserialize, Serialize};

/// A claimed delivery: one event for one trigger. It is a row of `outbox` with the state of its
/// trigger at the claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The id of the row.
    pub id: DeliveryId,
    /// The trigger, which is also the lane.
    pub trigger_id: TriggerId,
    pub trigger_name: TriggerName,
    /// The version of the trigger at the claim.
    pub trigger_version: i64,
    pub event: Event,
    /// The handler to run. `None` if the trigger was deleted while the row waited.
    pub handler: Option<Handler>,
    /// The version of the script at the claim. `None` for a missing script and for other handlers.
    pub script_version: Option<i64>,
    /// The principal that the execution acts as: `registered_by` of the trigger, or the caller of
    /// an invocation.
    pub runs_as: PrincipalId,
    /// The standing of that principal at the claim.
    pub standing: Standing,
    /// The retry policy of the trigger when the event was emitted.
    pub policy: RetryPolicy,
    /// The timeout of the trigger when the event was emitted.
    pub timeout: Micros,
    /// The number of this attempt, from 1: one more than the attempts that failed.
    pub attempt: u32,
    /// The number of losses: how many claims of the row expired after the handler may have begun.
    pub lost: u32,
    /// The number of the claim that holds the row.
    pub lease: Lease,
    pub due_at: Timestamp,
    /// When the row was written.
    pub enqueued_at: Timestamp,
    /// How many times the delivery was redriven.
    pub redrive_generation: u32,
    /// The inbox of the sync caller. `None` for a delivery without a caller.
    pub reply_to: Option<InboxId>,
    /// The dead letter that this delivery handles. Its event is the event of the letter.
    pub handles_letter: Option<DeadLetterId>,
}

/// The kinds of delivery. They differ in the consequence of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A failure is retried, and then makes a dead letter.
    Async,
    /// Executed at most once for a waiting caller. A failure is the caller's reply, and never makes
    /// a dead letter.
    Sync(InboxId),
    /// Executed once. A failure is recorded in the dead letter, and makes no other dead letter.
    DeadLetterHandler(DeadLetterId),
}

impl Delivery {
    /// The kind of the delivery. The constraints of the stores exclude a row that is both sync and
    /// a dead-letter handler.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match (self.reply_to, self.handles_letter) {
            (Some(inbox), _) => Kind::Sync(inbox),
            (None, Some(letter)) => Kind::DeadLetterHandler(letter),
            (None, None) => Kind::Async,
        }
    }

    /// The claim that returned this row.
    #[must_use]
    pub fn claim(&self) -> Claim {
        Claim { delivery: self.id, lease: self.lease }
    }

    /// Whether a claim of the row expired after its handler may have begun, so that the handler may
    /// have ended the process. A daemon runs one such row at a time.
    #[must_use]
    pub const fn was_lost(&self) -> bool {
        self.lost > 0
    }

    /// Whether the handler begins at most once, except for runs after a conflict. The delivery has
    /// one attempt, or it handles a dead letter.
    #[must_use]
    pub const fn begins_once(&self) -> bool {
        self.policy.max_attempts() == 1 || self.handles_letter.is_some()
    }

    /// `event_id:trigger_id`. Every attempt and every redrive of the delivery has the same key, and
    /// no other delivery has it.
    #[must_use]
    pub fn idempotency_key(&self) -> String {
        format!("{}:{}", self.event.id, self.trigger_id)
    }
}

/// The decision about a claimed delivery: the next state of its row, and the effects and records
/// that the store writes in the same transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The row is deleted, and the effects are applied.
    Done {
        /// The effects that the handler staged.
        effects: Effects,
    },
    /// The row is ready again, due `delay` from the store's now. The failed attempt is added to the
    /// row's history.
    Retry {
        /// The back-off before the next attempt.
        delay: Micros,
        failed: Attempt,
    },
    /// The row is moved to `dead_letters`.
    Dead {
        reason: DeadReason,
        /// The number of attempts that failed or were lost.
        attempts: u32,
        /// The last attempt. `None` if it was lost, because the store has already recorded it.
        failed: Option<Attempt>,
        /// Equal for equal failures: see [`Attempt::fingerprint`].
        fingerprint: String,
        /// Whether the trigger is disabled in the same transaction.
        disable_trigger: bool,
    },
    /// The chain of events is too deep. The row is deleted and counted in `loops`. A dead-letter
    /// handler is never dropped.
    Dropped,
    /// No outcome counts: the handler did not run, or a shutdown ended the wait. The row leaves its
    /// claim, is due `delay` from the store's now, and the attempt does not count.
    Deferred {
        /// The back-off of a full gate, or of a handler that did not start. Zero if the daemon
        /// shuts down.
        delay: Micros,
    },
    /// A dead-letter handler succeeded. The letter is `handled`, the row is deleted, and the
    /// effects are applied.
    Handled {
        /// The effects that the handler staged.
        effects: Effects,
    },
    /// A dead-letter handler failed. The letter is `handler_failed`, and the row is deleted.
    HandlerFailed { failed: Attempt },
    /// A sync execution ended. Its effects are applied. The row stays with the outcome, under the
    /// same claim, until the reply is delivered. The store applies this verdict once. If the
    /// verdict is sent again, the store neither fences nor applies it.
    Executed {
        /// The effects that the handler staged.
        effects: Effects,
        /// The outcome that the row keeps.
        outcome: SyncOutcome,
        /// The reply that the store keeps for a repetition of the call by its idempotency key. Only
        /// a success is kept.
        reply: Option<HandlerReply>,
    },
    /// The caller has its reply, and the row is deleted.
    Replied,
    /// A sync delivery lost its caller. The row is moved to `abandoned_executions`, with its
    /// outcome if it has one.
    Abandoned { cause: AbandonCause },
}

impl Verdict {
    /// The effects that are applied with the verdict. `None` if there are no effects.
    #[must_use]
    pub fn effects(&self) -> Option<&Effects> {
        match self {
            Self::Done { effects } | Self::Handled { effects } | Self::Executed { effects, .. }
                if !effects.is_empty() =>
            {
                Some(effects)
            }
            _ => None,
        }
    }

    /// The attempt failed, and no other attempt can succeed.
    pub(crate) fn permanent(delivery: &Delivery, failed: Attempt) -> Self {
        Self::Dead {
            reason: DeadReason::Permanent,
            attempts: attempts_made(delivery).saturating_add(1),
            fingerprint: failed.fingerprint(),
            failed: Some(failed),
            disable_trigger: false,
        }
    }

    /// The bytes of the effects, messages and replies that the store writes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Done { effects } | Self::Handled { effects } => effects.bytes(),
            Self::Retry { failed, .. } | Self::HandlerFailed { failed } | Self::Dead { failed: Some(failed), .. } => {
                failed.message.len() as u64
            }
            Self::Executed { effects, outcome, reply } => {
                let message = outcome.message.as_ref().map_or(0, |message| message.len() as u64);
                effects.bytes() + message + reply.as_ref().map_or(0, HandlerReply::bytes)
            }
            Self::Dead { failed: None, .. }
            | Self::Dropped
            | Self::Deferred { .. }
            | Self::Replied
            | Self::Abandoned { .. } => 0,
        }
    }

    /// The name of the verdict in the settlements that a store receives. It is part of the SQL of
    /// the stores.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Done { .. } => "done",
            Self::Retry { .. } => "retry",
            Self::Dead { .. } => "dead",
            Self::Dropped => "dropped",
            Self::Deferred { .. } => "deferred",
            Self::Handled { .. } => "handled",
            Self::HandlerFailed { .. } => "handler_failed",
            Self::Executed { .. } => "executed",
            Self::Replied => "replied",
            Self::Abandoned { .. } => "abandoned",
        }
    }
}

/// One run of a handler. The wait before it is not part of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The start wait: from the permit to the start of the handler.
    pub start_wait: Micros,
    /// When the handler began, by the store's clock.
    pub started_at: Timestamp,
    /// From the start of the handler to its end.
    pub duration: Micros,
}

impl Run {
    /// A run that began and ended at `at`.
    pub(crate) const fn empty(at: Timestamp) -> Self {
        Self { start_wait: Micros::ZERO, started_at: at, duration: Micros::ZERO }
    }

    fn ended_at(self) -> Timestamp {
        self.started_at.plus(self.duration)
    }

    pub(crate) fn failed(self, delivery: &Delivery, failure: Failure) -> Attempt {
        Attempt {
            attempt: delivery.attempt,
            started_at: self.started_at,
            duration: Some(self.duration),
            error: failure.error,
            message: failure.message,
        }
    }
}

/// The verdict about a claimed delivery that must not be executed. `None` if the delivery may be
/// executed. A dead-letter handler is executed at any depth.
#[must_use]
pub fn refuse(delivery: &Delivery, max_trigger_depth: u32, now: Timestamp) -> Option<Verdict> {
    match delivery.kind() {
        // The event of a dead letter is one deeper than the event that failed, which was not too
        // deep. Its handler ends the chain: its failure makes no other letter, and the deliveries
        // of its own events are dropped.
        Kind::Async | Kind::Sync(_) if delivery.event.depth > max_trigger_depth => Some(Verdict::Dropped),
        // The row of a sync call is written with the claim of the daemon that executes it. Another
        // claim takes the row over only after the lease of the first claim has expired.
        Kind::Sync(_) => Some(Verdict::Abandoned { cause: AbandonCause::NodeLost }),
        Kind::DeadLetterHandler(_) if delivery.was_lost() => {
            Some(Verdict::HandlerFailed { failed: lost_attempt(delivery, now) })
        }
        Kind::DeadLetterHandler(_) => denied_attempt(delivery, now).map(|failed| Verdict::HandlerFailed { failed }),
        Kind::Async => refuse_async(delivery, now),
    }
}

fn refuse_async(delivery: &Delivery, now: Timestamp) -> Option<Verdict> {
    let (reason, failed) = if let Some(denied) = denied_attempt(delivery, now) {
        (DeadReason::PrincipalDenied, Some(denied))
    } else if delivery.lost >= delivery.policy.max_lost() {
        (DeadReason::Lost, None)
    } else if attempts_made(delivery) > 0 && is_too_old(delivery, now) {
        (DeadReason::MaxAge, None)
    } else {
        return None;
    };
    let fingerprint = failed.as_ref().map_or_else(|| lost_attempt(delivery, now).fingerprint(), Attempt::fingerprint);
    Some(Verdict::Dead { reason, attempts: attempts_made(delivery), failed, fingerprint, disable_trigger: false })
}

/// The attempts before this claim, both failed and lost.
fn attempts_made(delivery: &Delivery) -> u32 {
    delivery.attempt.saturating_sub(1).saturating_add(delivery.lost)
}

/// The attempt before this claim, which was lost. Its start is not known here, so `now` is
/// recorded.
fn lost_attempt(delivery: &Delivery, now: Timestamp) -> Attempt {
    Attempt {
        attempt: delivery.attempt,
        started_at: now,
        duration: None,
        error: ExecError::Lost,
        message: Attempt::LOST_MESSAGE.to_owned(),
    }
}

/// The failed attempt of this claim, if its principal may not run the handler.
fn denied_attempt(delivery: &Delivery, now: Timestamp) -> Option<Attempt> {
    let failure = delivery.standing.refusal(&delivery.runs_as)?;
    Some(Run::empty(now).failed(delivery, failure))
}

/// The verdict about a delivery whose execution ended with `outcome`. `deferral` is the back-off of
/// a delivery whose handler did not start.
#[must_use]
pub fn settle(delivery: &Delivery, outcome: Outcome, run: Run, key: RngKey, deferral: Micros) -> Verdict {
    match (outcome, delivery.kind()) {
        (outcome, Kind::Sync(_)) => {
            let sync_outcome = SyncOutcome::of(&outcome);
            let effects = match outcome {
                Outcome::Succeeded { effects, .. } => effects,
                Outcome::Failed(_) | Outcome::NotStarted { .. } => Effects::default(),
            };
            Verdict::Executed { effects, outcome: sync_outcome, reply: None }
        }
        (Outcome::NotStarted { .. }, Kind::Async | Kind::DeadLetterHandler(_)) => Verdict::Deferred { delay: deferral },
        (Outcome::Succeeded { effects, .. }, Kind::DeadLetterHandler(_)) => Verdict::Handled { effects },
        (Outcome::Succeeded { effects, .. }, Kind::Async) => Verdict::Done { effects },
        (Outcome::Failed(failure), Kind::DeadLetterHandler(_)) => {
            Verdict::HandlerFailed { failed: run.failed(delivery, failure) }
        }
        (Outcome::Failed(failure), Kind::Async) => settle_failure(delivery, failure, run, key),
    }
}

fn settle_failure(delivery: &Delivery, failure: Failure, run: Run, key: RngKey) -> Verdict {
    let delay = delivery.policy.delay(key, delivery.id, delivery.attempt, failure.retry_after);
    let reason = match failure.error {
        ExecError::PrincipalDenied => Some(DeadReason::PrincipalDenied),
        ExecError::HandlerMissing => Some(DeadReason::HandlerMissing),
        error if !error.is_retryable() => Some(DeadReason::Permanent),
        _ if delivery.attempt >= delivery.policy.max_attempts() => Some(DeadReason::AttemptsExhausted),
        _ if is_too_old(delivery, run.ended_at().plus(delay)) => Some(DeadReason::MaxAge),
        _ => None,
    };
    let disable_trigger = failure.error.disables_trigger();
    let failed = run.failed(delivery, failure);
    match reason {
        None => Verdict::Retry { delay, failed },
        Some(reason) => Verdict::Dead {
            reason,
            attempts: attempts_made(delivery).saturating_add(1),
            fingerprint: failed.fingerprint(),
            failed: Some(failed),
            disable_trigger,
        },
    }
}

fn is_too_old(delivery: &Delivery, at: Timestamp) -> bool {
    delivery.policy.max_age().is_some_and(|max_age| at > delivery.enqueued_at.plus(max_age))
}
