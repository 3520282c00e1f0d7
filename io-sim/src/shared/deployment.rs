//! The ports for apps, scripts and triggers.

use super::SharedMemory;
use async_trait::async_trait;
use tidegate_core::{AppName, PrincipalId, ScriptName, Trigger, TriggerName, TriggerSpec};
use tidegate_ports::{AppStore, AppSummary, DeployReport, Deployment, PortError, Script, ScriptStore, TriggerStore};

#[async_trait]
impl TriggerStore for SharedMemory {
    async fn list(&self, app: &AppName) -> Result<Vec<Trigger>, PortError> {
        let memory = self.transaction();
        memory.require_app(app)?;
        Ok(memory.triggers_of(app))
    }

    async fn get(&self, app: &AppName, name: &TriggerName) -> Result<Option<Trigger>, PortError> {
        let memory = self.transaction();
        memory.require_app(app)?;
        Ok(memory.triggers_of(app).into_iter().find(|trigger| trigger.spec.name == *name))
    }

    async fn put(&self, app: &AppName, spec: &TriggerSpec, by: &PrincipalId) -> Result<Trigger, PortError> {
        let mut memory = self.transaction();
        memory.require_app(app)?;
        Ok(memory.set_trigger(app, spec, by).0)
    }

    async fn delete(&self, app: &AppName, name: &TriggerName) -> Result<bool, PortError> {
        let mut memory = self.transaction();
        memory.require_app(app)?;
        Ok(memory.delete_trigger(app, name))
    }

    async fn set_paused(&self, app: &AppName, name: &TriggerName, paused: bool) -> Result<Option<Trigger>, PortError> {
        self.transaction().pause(app, name, paused)
    }
}

#[async_trait]
impl ScriptStore for SharedMemory {
    async fn list(&self, app: &AppName) -> Result<Vec<Script>, PortError> {
        let memory = self.transaction();
        memory.require_app(app)?;
        Ok(memory.scripts_of(app))
    }

    async fn get(&self, app: &AppName, name: &ScriptName) -> Result<Option<Script>, PortError> {
        let memory = self.transaction();
        memory.require_app(app)?;
        Ok(memory.scripts.get(&(app.clone(), name.clone())).cloned())
    }

    async fn put(&self, app: &AppName, name: &ScriptName, source: &str) -> Result<Script, PortError> {
        let mut memory = self.transaction();
        memory.require_app(app)?;
        Ok(memory.set_script(app, name, source).0)
    }

    async fn delete(&self, app: &AppName, name: &ScriptName) -> Result<bool, PortError> {
        let mut memory = self.transaction();
        memory.require_app(app)?;
        Ok(memory.scripts.remove(&(app.clone(), name.clone())).is_some())
    }
}

#[async_trait]
impl AppStore for SharedMemory {
    async fn list(&self) -> Result<Vec<AppSummary>, PortError> {
        Ok(self.transaction().list_apps())
    }

    async fn exists(&self, app: &AppName) -> Result<bool, PortError> {
        Ok(self.transaction().require_app(app).is_ok())
    }

    async fn deploy(
        &self,
        app: &AppName,
        deployment: &Deployment,
        by: &PrincipalId,
    ) -> Result<DeployReport, PortError> {
        Ok(self.transaction().deploy(app, deployment, by))
    }
}
