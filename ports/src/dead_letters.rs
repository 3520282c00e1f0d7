use crate::PortError;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tidegate_core::{
    AppName, Attempt, DeadLetterId, DeadReason, DeliveryId, Event, Handler, PrincipalId, Timestamp, TriggerId,
    TriggerName,
};

/// The dead letters of apps.
#[async_trait]
pub trait DeadLetterStore: Send + Sync + 'static {
    /// An app's dead letters, newest first.
    async fn list(&self, app: &AppName, filter: &DeadLetterFilter) -> Result<Vec<DeadLetter>, PortError>;

    /// One of them.
    async fn get(&self, app: &AppName, id: DeadLetterId) -> Result<Option<DeadLetter>, PortError>;

    /// Puts the deliveries of the next letters of `selection` back in the outbox and marks the letters `redriven`, in one
    /// transaction: the same event for the same trigger, so the same idempotency key, with all attempts before it. Letters
    /// of triggers that are gone are skipped. A letter is redriven once, however often and by however many it is asked for.
    async fn redrive(&self, app: &AppName, selection: &LetterSelection) -> Result<LetterBatch, PortError>;

    /// Marks the next letters of `selection` `discarded`, in one transaction.
    async fn discard(&self, app: &AppName, selection: &LetterSelection) -> Result<LetterBatch, PortError>;

    /// What a redrive of all of `selection` would do now, whatever its `limit`. Nothing is changed.
    async fn count(&self, app: &AppName, selection: &LetterSelection) -> Result<LetterBatch, PortError>;
}

/// Which dead letters to do something about. Never those that are redriven already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LetterSelection {
    /// These, resolved or not. `None`: by the other fields.
    pub ids: Option<Vec<DeadLetterId>>,
    /// Only of this trigger.
    pub trigger: Option<TriggerName>,
    /// Only with this fingerprint.
    pub fingerprint: Option<String>,
    /// Only for this reason.
    pub reason: Option<DeadReason>,
    /// Only made at or after this.
    pub created_from: Option<Timestamp>,
    /// Only made before this.
    pub created_before: Option<Timestamp>,
    /// Only with this resolution. `None` is open, unless `ids` are given.
    pub resolution: Option<Resolution>,
    /// Only after this one: where the batch before ended.
    pub after: Option<DeadLetterId>,
    /// At most so many at once.
    pub limit: u32,
}

/// What was done about some letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LetterBatch {
    /// Letters that were looked at; fewer than the limit means that there are no more.
    pub matched: u64,
    /// Of these, those that could not be redriven because their trigger is gone.
    pub skipped: u64,
    /// The last one that was looked at.
    pub last: Option<DeadLetterId>,
    /// Lanes that got rows.
    pub woken_lanes: Vec<TriggerId>,
}

/// Which dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// Only of this trigger.
    pub trigger: Option<TriggerName>,
    /// Only with this fingerprint.
    pub fingerprint: Option<String>,
    /// Only for this reason.
    pub reason: Option<DeadReason>,
    /// Only with this resolution.
    pub resolution: Option<Resolution>,
    /// Only those that nobody has resolved.
    pub open_only: bool,
    /// Only older than this one.
    pub before: Option<DeadLetterId>,
    /// At most so many.
    pub limit: u32,
}

/// A delivery that will not be tried again by itself, with all that is needed to understand it and to redrive it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// The letter.
    pub id: DeadLetterId,
    /// The delivery that it was.
    pub delivery_id: DeliveryId,
    /// Its trigger.
    pub trigger: TriggerName,
    /// The trigger's version when the delivery died.
    pub trigger_version: i64,
    /// What should have run.
    pub handler: Option<Handler>,
    /// The script's version when the delivery died.
    pub script_version: Option<i64>,
    /// Who it ran as.
    pub principal: PrincipalId,
    /// The event, whole.
    pub event: Event,
    /// Why.
    pub reason: DeadReason,
    /// How many attempts were made.
    pub attempts: u32,
    /// Each of them.
    pub failed: Vec<Attempt>,
    /// Equal failures share it.
    pub fingerprint: String,
    /// When the delivery came to be.
    pub enqueued_at: Timestamp,
    /// When it died.
    pub created_at: Timestamp,
    /// `None` is open.
    pub resolution: Option<Resolution>,
    /// What the handler that was to handle it failed of.
    pub handler_failure: Option<Attempt>,
    /// How many redrives it has behind it.
    pub redrive_generation: u32,
    /// The letter that the delivery was before it was redriven.
    pub previous_letter_id: Option<DeadLetterId>,
}

/// What was done about a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// A dead-letter handler succeeded.
    Handled,
    /// A dead-letter handler failed.
    HandlerFailed,
    /// It was put back in the outbox.
    Redriven,
    /// Somebody decided that it does not matter.
    Discarded,
}

impl Resolution {
    /// Every resolution, with its name in SQL, API and metrics.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Handled, "handled"),
        (Self::HandlerFailed, "handler_failed"),
        (Self::Redriven, "redriven"),
        (Self::Discarded, "discarded"),
    ];

    /// Its name in SQL, API and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(resolution, _)| *resolution == self).map_or("", |(_, name)| name)
    }

    /// The resolution of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(resolution, _)| *resolution)
    }
}
