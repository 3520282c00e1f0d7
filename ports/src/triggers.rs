use crate::PortError;
use async_trait::async_trait;
use tidegate_core::{AppName, PrincipalId, Trigger, TriggerName, TriggerSpec};

/// A stored trigger that does not parse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidTrigger {
    pub app: AppName,
    pub name: TriggerName,
    /// The error of the parser.
    pub reason: String,
}

/// The triggers of apps.
///
/// Deleting a trigger frees its name. The rows that wait in its lane become dead letters with the
/// reason `handler_missing`.
#[async_trait]
pub trait TriggerStore: Send + Sync + 'static {
    /// All triggers of the app that this version can read, ordered by name.
    async fn list(&self, app: &AppName) -> Result<Vec<Trigger>, PortError>;

    /// The triggers of all apps that this version cannot read, such as a trigger whose time zone is
    /// unknown. They get deliveries, but no ticks and no requests. A new deployment replaces them.
    async fn invalid(&self) -> Result<Vec<InvalidTrigger>, PortError> {
        Ok(Vec::new())
    }

    async fn get(&self, app: &AppName, name: &TriggerName) -> Result<Option<Trigger>, PortError>;

    /// Creates or replaces the trigger. If the spec is unchanged, its version and the principal
    /// that registered it stay the same.
    async fn put(&self, app: &AppName, spec: &TriggerSpec, by: &PrincipalId) -> Result<Trigger, PortError>;

    /// Deletes the trigger. Returns whether it existed.
    async fn delete(&self, app: &AppName, name: &TriggerName) -> Result<bool, PortError>;

    /// Pauses or resumes the trigger. `None` if it does not exist.
    async fn set_paused(&self, app: &AppName, name: &TriggerName, paused: bool) -> Result<Option<Trigger>, PortError>;
}
