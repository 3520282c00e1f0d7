use crate::PortError;
use async_trait::async_trait;
use serde::Serialize;
use tidegate_core::{AppName, ScriptName, Timestamp};

/// The scripts of apps. Only the newest version of each is kept.
#[async_trait]
pub trait ScriptStore: Send + Sync + 'static {
    /// All of an app's scripts, by name.
    async fn list(&self, app: &AppName) -> Result<Vec<Script>, PortError>;

    /// One of them.
    async fn get(&self, app: &AppName, name: &ScriptName) -> Result<Option<Script>, PortError>;

    /// Makes the script or changes it. The same source keeps its version.
    async fn put(&self, app: &AppName, name: &ScriptName, source: &str) -> Result<Script, PortError>;

    /// Deletes the script; whether there was one.
    async fn delete(&self, app: &AppName, name: &ScriptName) -> Result<bool, PortError>;
}

/// A script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Script {
    /// Its name.
    pub name: ScriptName,
    /// Grows with every change of its source, also across a delete.
    pub version: i64,
    /// An ES module.
    pub source: String,
    /// When it was last changed.
    pub updated_at: Timestamp,
}
