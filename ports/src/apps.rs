use crate::PortError;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tidegate_core::{AppName, PrincipalId, ScriptName, Timestamp, TriggerSpec};

/// Apps, and their deployment as a whole.
#[async_trait]
pub trait AppStore: Send + Sync + 'static {
    /// All apps, by name.
    async fn list(&self) -> Result<Vec<AppSummary>, PortError>;

    /// Whether there is one of this name.
    async fn exists(&self, app: &AppName) -> Result<bool, PortError>;

    /// Makes the app if there is none, and makes its scripts and triggers exactly those of `deployment`, in one
    /// transaction. What is unchanged keeps its version; what is not named is deleted. Paused triggers stay paused.
    async fn deploy(&self, app: &AppName, deployment: &Deployment, by: &PrincipalId)
    -> Result<DeployReport, PortError>;
}

/// An app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppSummary {
    /// Its name.
    pub name: AppName,
    /// When it was made.
    pub created_at: Timestamp,
}

/// All scripts and triggers of an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// The scripts.
    #[serde(default)]
    pub scripts: Vec<DeploymentScript>,
    /// The triggers.
    #[serde(default)]
    pub triggers: Vec<TriggerSpec>,
}

/// A script to deploy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeploymentScript {
    /// Its name.
    pub name: ScriptName,
    /// An ES module.
    pub source: String,
}

/// What a deployment changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployReport {
    /// Script by script, in the order of names.
    pub scripts: Vec<(String, Change)>,
    /// Trigger by trigger, in the order of names.
    pub triggers: Vec<(String, Change)>,
}

/// What happened to one script or trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is new.
    Created,
    /// It was another.
    Updated,
    /// It was the same.
    Unchanged,
    /// It is gone.
    Deleted,
}
