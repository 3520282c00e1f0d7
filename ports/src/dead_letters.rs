use crate::{Page, PageSize, PortError};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tidegate_core::{
    AppName, Attempt, DeadLetterId, DeadReason, DeliveryId, Event, Handler, PrincipalId, Timestamp, TriggerId,
    TriggerName,
};

/// The dead letters of apps.
#[async_trait]
pub trait DeadLetterStore: Send + Sync + 'static {
    /// The dead letters of the app that pass `filter`, newest first.
    async fn list(&self, app: &AppName, filter: &DeadLetterFilter) -> Result<Page<DeadLetter>, PortError>;

    async fn get(&self, app: &AppName, id: DeadLetterId) -> Result<Option<DeadLetter>, PortError>;

    /// Redrives the next letters of `selection` in one transaction: puts their deliveries back in
    /// the outbox and marks the letters `redriven`.
    ///
    /// A redriven delivery has the event and the trigger of the letter, and therefore its
    /// idempotency key. It begins without attempts. The letter keeps the failed attempts. Letters
    /// of deleted triggers are skipped. Each letter is redriven at most once, even if several calls
    /// name it at the same time.
    async fn redrive(&self, app: &AppName, selection: &LetterSelection) -> Result<LetterBatch, PortError>;

    /// Marks the next letters of `selection` as `discarded` in one transaction.
    async fn discard(&self, app: &AppName, selection: &LetterSelection) -> Result<LetterBatch, PortError>;

    /// Counts the letters that a redrive of the whole `selection` would redrive or skip now.
    /// Ignores its `limit` and changes nothing.
    async fn count(&self, app: &AppName, selection: &LetterSelection) -> Result<LetterBatch, PortError>;
}

/// Selects dead letters for a redrive or a discard. All conditions must hold. Redriven letters are
/// never selected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LetterSelection {
    /// Selects these letters, resolved or not. `None` selects by the other fields alone.
    pub ids: Option<Vec<DeadLetterId>>,
    pub trigger: Option<TriggerName>,
    pub fingerprint: Option<String>,
    pub reason: Option<DeadReason>,
    /// The earliest time of creation, inclusive.
    pub created_from: Option<Timestamp>,
    /// The latest time of creation, exclusive.
    pub created_before: Option<Timestamp>,
    /// `None` selects open letters, and letters of any resolution if `ids` are given.
    pub resolution: Option<Resolution>,
    /// Selects letters with greater ids: the last id of the previous batch.
    pub after: Option<DeadLetterId>,
    /// The most letters of one batch.
    pub limit: u32,
}

/// The result of one batch of a redrive or a discard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LetterBatch {
    /// The number of selected letters. If it is less than the limit, no letters are left.
    pub matched: u64,
    /// The number of selected letters that were not redriven because their trigger is deleted.
    pub skipped: u64,
    /// The last selected letter.
    pub last: Option<DeadLetterId>,
    /// The lanes that got rows.
    pub woken_lanes: Vec<TriggerId>,
}

/// Selects dead letters for a list. All conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    pub trigger: Option<TriggerName>,
    pub fingerprint: Option<String>,
    pub reason: Option<DeadReason>,
    pub resolution: Option<Resolution>,
    /// Selects only letters without a resolution.
    pub open_only: bool,
    /// Selects letters with smaller ids: the last id of the previous page.
    pub before: Option<DeadLetterId>,
    pub size: PageSize,
}

/// A delivery that is not tried again on its own, with the event, the failed attempts and the data
/// that a redrive needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    pub id: DeadLetterId,
    /// The id of the delivery, which is deleted.
    pub delivery_id: DeliveryId,
    pub trigger: TriggerName,
    /// The version of the trigger when the delivery became a dead letter.
    pub trigger_version: i64,
    /// The handler that should have run. `None` if the trigger was deleted.
    pub handler: Option<Handler>,
    /// The version of the script when the delivery became a dead letter.
    pub script_version: Option<i64>,
    /// The principal that the handler ran as.
    pub principal: PrincipalId,
    pub event: Event,
    pub reason: DeadReason,
    /// The number of attempts.
    pub attempts: u32,
    /// The failed attempts, oldest first.
    pub failed: Vec<Attempt>,
    /// Equal for equal failures: a hash of the error's class and the first line of its message
    /// without digits.
    pub fingerprint: String,
    /// When the delivery was written to the outbox.
    pub enqueued_at: Timestamp,
    /// When the delivery became a dead letter.
    pub created_at: Timestamp,
    /// `None` while the letter is open.
    pub resolution: Option<Resolution>,
    /// The failed attempt of the dead-letter handler, if it failed.
    pub handler_failure: Option<Attempt>,
    /// How many times the delivery was redriven before it became this letter.
    pub redrive_generation: u32,
    /// The letter whose redrive created this delivery.
    pub previous_letter_id: Option<DeadLetterId>,
}

impl DeadLetter {
    /// The size of the letter in a page.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.event.bytes() + Attempt::bytes_of(&self.failed)
    }
}

/// The way in which a dead letter was resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// A dead-letter handler succeeded.
    Handled,
    /// A dead-letter handler failed.
    HandlerFailed,
    /// Its delivery was put back in the outbox.
    Redriven,
    /// A user decided that the letter needs no redrive.
    Discarded,
}

impl Resolution {
    /// Every resolution with its name in SQL, the API and metrics.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Handled, "handled"),
        (Self::HandlerFailed, "handler_failed"),
        (Self::Redriven, "redriven"),
        (Self::Discarded, "discarded"),
    ];

    /// The name in SQL, the API and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(resolution, _)| *resolution == self).map_or("", |(_, name)| name)
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(resolution, _)| *resolution)
    }
}
