use super::PortError;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tidegate_core::{
    AppName, Attempt, DeadLetterId, DeadReason, DeliveryId, Event, Handler, PrincipalId, Timestamp, TriggerName,
};

/// The dead letters of apps.
#[async_trait]
pub trait DeadLetterStore: Send + Sync + 'static {
    /// An app's dead letters, newest first.
    async fn list(&self, app: &AppName, filter: &DeadLetterFilter) -> Result<Vec<DeadLetter>, PortError>;

    /// One of them.
    async fn get(&self, app: &AppName, id: DeadLetterId) -> Result<Option<DeadLetter>, PortError>;
}

/// Which dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// Only of this trigger.
    pub trigger: Option<TriggerName>,
    /// Only with this fingerprint.
    pub fingerprint: Option<String>,
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
    /// How many redrives it has behind it.
    pub redrive_generation: u32,
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
