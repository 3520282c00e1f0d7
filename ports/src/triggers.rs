use crate::PortError;
use async_trait::async_trait;
use tidegate_core::{AppName, PrincipalId, Trigger, TriggerName, TriggerSpec};

/// The triggers of apps. A deleted trigger frees its name; its waiting rows become dead letters, `handler_missing`.
#[async_trait]
pub trait TriggerStore: Send + Sync + 'static {
    /// All of an app's triggers, by name.
    async fn list(&self, app: &AppName) -> Result<Vec<Trigger>, PortError>;

    /// One of them.
    async fn get(&self, app: &AppName, name: &TriggerName) -> Result<Option<Trigger>, PortError>;

    /// Makes the trigger or changes it. An unchanged spec keeps version and registrant.
    async fn put(&self, app: &AppName, spec: &TriggerSpec, by: &PrincipalId) -> Result<Trigger, PortError>;

    /// Deletes the trigger; whether there was one.
    async fn delete(&self, app: &AppName, name: &TriggerName) -> Result<bool, PortError>;

    /// Pauses or resumes; `None` if there is no such trigger.
    async fn set_paused(&self, app: &AppName, name: &TriggerName, paused: bool) -> Result<Option<Trigger>, PortError>;
}
