use crate::PortError;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tidegate_core::{AppName, PrincipalId, ScriptName, Timestamp, TriggerName, TriggerSpec};

/// Lists apps and deploys each of them as a whole.
#[async_trait]
pub trait AppStore: Send + Sync + 'static {
    /// All apps, ordered by name.
    async fn list(&self) -> Result<Vec<AppSummary>, PortError>;

    async fn exists(&self, app: &AppName) -> Result<bool, PortError>;

    /// Replaces the scripts and triggers of the app by those of `deployment`, in one transaction.
    /// Creates the app if it does not exist.
    ///
    /// An unchanged script or trigger keeps its version. A script or trigger that `deployment` does
    /// not name is deleted. A paused trigger stays paused. A trigger that is renamed keeps its id,
    /// and so its waiting deliveries.
    async fn deploy(&self, app: &AppName, deployment: &Deployment, by: &PrincipalId)
    -> Result<DeployReport, PortError>;
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppSummary {
    pub name: AppName,
    pub created_at: Timestamp,
}

/// All scripts and triggers of an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    #[serde(default)]
    pub scripts: Vec<DeploymentScript>,
    #[serde(default)]
    pub triggers: Vec<TriggerSpec>,
    /// The triggers that get other names, before all other changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub renames: Vec<TriggerRename>,
}

/// Gives the trigger `from` the name `to`. Nothing happens if there is no trigger `from`, or if
/// there is a trigger `to` already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TriggerRename {
    pub from: TriggerName,
    pub to: TriggerName,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeploymentScript {
    pub name: ScriptName,
    /// The source text of an ES module.
    pub source: String,
}

/// The changes of one deployment, ordered by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployReport {
    pub scripts: Vec<(String, Change)>,
    pub triggers: Vec<(String, Change)>,
}

/// The change that a deployment made to one script or trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    Created,
    Updated,
    Unchanged,
    Deleted,
    /// The trigger had another name and is otherwise unchanged.
    Renamed,
}
