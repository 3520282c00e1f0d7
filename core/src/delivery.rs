//! A delivery's life: what a claimed row is, and the one pure table that says what becomes of it.
//!
//! ```text
//!             emit                         claim
//! (nothing) ───────▶ ready (due_at ≤ now) ───────▶ leased ──▶ done            row deleted
//!                      ▲        due later            │  ├────▶ retry           back to ready, due later
//!                      │                             │  ├────▶ dead letter     moved, in one transaction
//!                      │      gate full: deferred    │  ├────▶ dropped         deleted, counted, never dead-lettered
//!                      └─────────────────────────────┘  └────▶ abandoned       sync only
//! ```

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

/// One event for one trigger, claimed: a row of `outbox` with what its trigger says now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The row.
    pub id: DeliveryId,
    /// Its lane.
    pub trigger_id: TriggerId,
    /// The trigger's name.
    pub trigger_name: TriggerName,
    /// The trigger's version at the claim.
    pub trigger_version: i64,
    /// The event, whole.
    pub event: Event,
    /// What runs. `None` if the trigger was deleted while its row waited.
    pub handler: Option<Handler>,
    /// The script's version at the claim; `None` for a script that is not there and for other handlers.
    pub script_version: Option<i64>,
    /// Who it runs as: the trigger's `registered_by`.
    pub runs_as: PrincipalId,
    /// How that principal stood at the claim.
    pub standing: Standing,
    /// The trigger's retry policy when the event was emitted.
    pub policy: RetryPolicy,
    /// The trigger's timeout when the event was emitted.
    pub timeout: Micros,
    /// Which attempt this claim is, from 1. May be one more than the policy allows: then nothing is executed.
    pub attempt: u32,
    /// The number of this claim.
    pub lease: Lease,
    /// When it became due.
    pub due_at: Timestamp,
    /// When the row came to be.
    pub enqueued_at: Timestamp,
    /// How many redrives this delivery has behind it.
    pub redrive_generation: u32,
    /// Where a sync caller waits.
    pub reply_to: Option<InboxId>,
    /// The dead letter that this delivery handles: its event is that letter's.
    pub handles_letter: Option<DeadLetterId>,
}

/// The three kinds of delivery, which differ in what a failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Retried, then dead-lettered.
    Async,
    /// Executed at most once, never dead-lettered.
    Sync(InboxId),
    /// Executed once; its failure annotates the letter and makes no other.
    DeadLetterHandler(DeadLetterId),
}

impl Delivery {
    /// Its kind. A row cannot be both sync and a dead-letter handler; the stores' constraints see to it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match (self.reply_to, self.handles_letter) {
            (Some(inbox), _) => Kind::Sync(inbox),
            (None, Some(letter)) => Kind::DeadLetterHandler(letter),
            (None, None) => Kind::Async,
        }
    }

    /// The claim that it came by.
    #[must_use]
    pub fn claim(&self) -> Claim {
        Claim { delivery: self.id, lease: self.lease }
    }

    /// `event_id:trigger_id`: the same on every attempt and redrive, and on no other delivery.
    #[must_use]
    pub fn idempotency_key(&self) -> String {
        format!("{}:{}", self.event.id, self.trigger_id)
    }
}

/// One attempt that failed, as dead letters keep it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Which one, from 1.
    pub attempt: u32,
    /// When it was claimed or started, by the store's clock.
    pub started_at: Timestamp,
    /// How long it ran. `None` if it was lost: nobody was there to measure.
    pub duration: Option<Micros>,
    /// The class of the failure.
    pub error: ExecError,
    /// For people.
    pub message: String,
}

impl Attempt {
    /// What a claim records of the attempt before it, if that one's lease ran out. The stores write the same in SQL.
    pub const LOST_MESSAGE: &str = "the process that ran it died or lost its lease";

    /// A text that equal failures share: the class, and the message's first line with its digits blotted out.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let line = self.message.lines().next().unwrap_or_default();
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325; // FNV-1a: stable across versions, unlike std's hasher.
        let mut digits = false;
        for byte in self.error.code().bytes().chain([b':']).chain(line.bytes()) {
            let is_digit = byte.is_ascii_digit();
            if is_digit && digits {
                continue;
            }
            digits = is_digit;
            hash = (hash ^ u64::from(if is_digit { b'#' } else { byte })).wrapping_mul(0x0100_0000_01b3);
        }
        format!("{hash:016x}")
    }
}

/// Why a delivery became a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadReason {
    /// Every allowed attempt failed or was lost.
    AttemptsExhausted,
    /// The next attempt would begin later than `max_age` allows.
    MaxAge,
    /// Another attempt cannot help.
    Permanent,
    /// The principal that registered the trigger is gone, disabled or not allowed.
    PrincipalDenied,
    /// There is no such handler, or the trigger was deleted.
    HandlerMissing,
}

impl DeadReason {
    /// Every reason.
    pub const ALL: [Self; 5] =
        [Self::AttemptsExhausted, Self::MaxAge, Self::Permanent, Self::PrincipalDenied, Self::HandlerMissing];

    /// The reason of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }

    /// Its name in SQL, API and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AttemptsExhausted => "attempts_exhausted",
            Self::MaxAge => "max_age",
            Self::Permanent => "permanent",
            Self::PrincipalDenied => "principal_denied",
            Self::HandlerMissing => "handler_missing",
        }
    }
}

/// Why a sync execution's reply reached nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AbandonCause {
    /// The daemon that held the connection died.
    NodeLost,
    /// The caller hung up or ran out of patience.
    CallerGone,
}

impl AbandonCause {
    /// The cause of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::NodeLost, Self::CallerGone].into_iter().find(|cause| cause.as_str() == name)
    }

    /// Its name in SQL, API and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NodeLost => "node_lost",
            Self::CallerGone => "caller_gone",
        }
    }
}

/// What becomes of a leased delivery: the row's next state, and all that is written with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The row is deleted, the effects are applied.
    Done {
        /// What the handler staged.
        effects: Effects,
    },
    /// Back to ready, due `delay` from the store's now. The failed attempt joins the row's history.
    Retry {
        /// The back-off.
        delay: Micros,
        /// What failed.
        failed: Attempt,
    },
    /// Moved to `dead_letters`.
    Dead {
        /// Why.
        reason: DeadReason,
        /// How many attempts were made.
        attempts: u32,
        /// The last one, unless it was lost: then the claim has recorded it.
        failed: Option<Attempt>,
        /// Groups equal failures.
        fingerprint: String,
        /// Whether the trigger is switched off with it.
        disable_trigger: bool,
    },
    /// Too deep a chain: the row is deleted and counted in `loops`.
    Dropped,
    /// Nothing was executed: the lease is released, due `delay` from the store's now, the attempt given back.
    Deferred {
        /// The gate's back-off, or zero when a daemon shuts down.
        delay: Micros,
    },
    /// A dead-letter handler succeeded: the letter is `handled`, the row deleted, the effects applied.
    Handled {
        /// What the handler staged.
        effects: Effects,
    },
    /// A dead-letter handler failed: the letter is `handler_failed`, the row deleted.
    HandlerFailed {
        /// What failed.
        failed: Attempt,
    },
    /// A sync execution has ended: its effects are applied, and the row stays, with its outcome and under the same
    /// claim, until the reply is delivered. Applied at most once; a second time it is neither fenced nor applied again.
    Executed {
        /// What the handler staged.
        effects: Effects,
        /// How it ended.
        outcome: SyncOutcome,
        /// What is kept for whoever repeats the call by its idempotency key: the reply of a success.
        reply: Option<HandlerReply>,
    },
    /// The caller has its reply: the row is deleted.
    Replied,
    /// A sync delivery without its caller: the row is moved to `abandoned_executions`, with its outcome if it has one.
    Abandoned {
        /// Why.
        cause: AbandonCause,
    },
}

impl Verdict {
    /// What is to be applied with it.
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

    /// Its name in facts, logs and metrics.
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

/// When an execution ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its start by the store's clock.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration: Micros,
}

impl Run {
    fn ended_at(self) -> Timestamp {
        self.started_at.plus(self.duration)
    }

    fn failed(self, delivery: &Delivery, failure: Failure) -> Attempt {
        Attempt {
            attempt: delivery.attempt,
            started_at: self.started_at,
            duration: Some(self.duration),
            error: failure.error,
            message: failure.message,
        }
    }
}

/// Whether a claimed delivery may be executed at all. `Some` is its verdict instead.
#[must_use]
pub fn refuse(delivery: &Delivery, max_trigger_depth: u32, now: Timestamp) -> Option<Verdict> {
    if delivery.event.depth > max_trigger_depth {
        return Some(Verdict::Dropped);
    }
    let lost = || Attempt {
        attempt: delivery.attempt.saturating_sub(1),
        started_at: now,
        duration: None,
        error: ExecError::Lost,
        message: Attempt::LOST_MESSAGE.to_owned(),
    };
    let denied = delivery.standing.refusal(&delivery.runs_as).map(|failure| Attempt {
        attempt: delivery.attempt,
        started_at: now,
        duration: Some(Micros::ZERO),
        error: failure.error,
        message: failure.message,
    });
    match delivery.kind() {
        // A sync row is written already leased by the daemon that executes it, so a claim only ever finds an orphan.
        Kind::Sync(_) => Some(Verdict::Abandoned { cause: AbandonCause::NodeLost }),
        Kind::DeadLetterHandler(_) if delivery.attempt > 1 => Some(Verdict::HandlerFailed { failed: lost() }),
        Kind::DeadLetterHandler(_) => denied.map(|failed| Verdict::HandlerFailed { failed }),
        Kind::Async => {
            if let Some(failed) = denied {
                let attempts = (delivery.attempt - 1).min(delivery.policy.max_attempts());
                let (reason, fingerprint) = (DeadReason::PrincipalDenied, failed.fingerprint());
                let failed = Some(failed);
                return Some(Verdict::Dead { reason, attempts, failed, fingerprint, disable_trigger: false });
            }
            let reason = if delivery.attempt > delivery.policy.max_attempts() {
                DeadReason::AttemptsExhausted
            } else if delivery.attempt > 1 && is_too_old(delivery, now) {
                DeadReason::MaxAge
            } else {
                return None;
            };
            // A claim beyond the last attempt may itself be lost before this verdict is applied: it was no attempt.
            let attempts = (delivery.attempt - 1).min(delivery.policy.max_attempts());
            let fingerprint = lost().fingerprint();
            Some(Verdict::Dead { reason, attempts, failed: None, fingerprint, disable_trigger: false })
        }
    }
}

/// What an execution's outcome makes of its delivery.
#[must_use]
pub fn settle(delivery: &Delivery, outcome: Outcome, run: Run, key: RngKey) -> Verdict {
    match (outcome, delivery.kind()) {
        (outcome, Kind::Sync(_)) => {
            let kept = SyncOutcome::of(&outcome);
            let effects = match outcome {
                Outcome::Succeeded { effects, .. } => effects,
                Outcome::Failed(_) => Effects::default(),
            };
            Verdict::Executed { effects, outcome: kept, reply: None }
        }
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
            attempts: delivery.attempt,
            fingerprint: failed.fingerprint(),
            failed: Some(failed),
            disable_trigger,
        },
    }
}

fn is_too_old(delivery: &Delivery, at: Timestamp) -> bool {
    delivery.policy.max_age().is_some_and(|max_age| at > delivery.enqueued_at.plus(max_age))
}
