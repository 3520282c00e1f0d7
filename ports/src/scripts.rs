use crate::PortError;
use async_trait::async_trait;
use serde::Serialize;
use tidegate_core::{AppName, ScriptName, Timestamp};

/// The scripts of apps. The store keeps only the newest version of each script.
#[async_trait]
pub trait ScriptStore: Send + Sync + 'static {
    /// All scripts of the app, ordered by name.
    async fn list(&self, app: &AppName) -> Result<Vec<Script>, PortError>;

    async fn get(&self, app: &AppName, name: &ScriptName) -> Result<Option<Script>, PortError>;

    /// Creates or replaces the script. An unchanged source keeps its version.
    async fn put(&self, app: &AppName, name: &ScriptName, source: &str) -> Result<Script, PortError>;

    /// Deletes the script. Returns whether it existed.
    async fn delete(&self, app: &AppName, name: &ScriptName) -> Result<bool, PortError>;
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Script {
    pub name: ScriptName,
    /// Grows with every change of the source. If a script is created again after a delete, its
    /// version is greater than the last one.
    pub version: i64,
    /// The source text of an ES module.
    pub source: String,
    /// The time of the last change, by the store's clock.
    pub updated_at: Timestamp,
}
