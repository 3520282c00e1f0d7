//! Apps, and deployments that replace the scripts and triggers of an app.

use crate::query::Query;
use crate::rows;
use crate::writer::Tx;
use crate::{SqliteStore, scripts, sql, triggers};
use async_trait::async_trait;
use rusqlite::{Connection, params};
use std::collections::BTreeSet;
use tidegate_core::{AppName, PrincipalId, ScriptName, TriggerName};
use tidegate_ports::{AppStore, AppSummary, Change, DeployReport, Deployment, PortError, TriggerRename};

impl SqliteStore {
    /// Runs `work` with a reader, if the app exists.
    pub(crate) async fn read_app<T, W>(&self, app: AppName, work: W) -> Result<T, PortError>
    where
        T: Send + 'static,
        W: FnOnce(&Connection, &AppName) -> Result<T, PortError> + Send + 'static,
    {
        self.readers
            .read(move |connection| {
                connection.require_app(&app)?;
                work(connection, &app)
            })
            .await
    }
}

#[async_trait]
impl AppStore for SqliteStore {
    async fn list(&self) -> Result<Vec<AppSummary>, PortError> {
        self.readers
            .read(|connection| {
                connection.all(sql::app_list, (), |row| {
                    Ok(AppSummary { name: rows::name(row, "name")?, created_at: rows::time(row, "created_at")? })
                })
            })
            .await
    }

    async fn exists(&self, app: &AppName) -> Result<bool, PortError> {
        match self.read_app(app.clone(), |_, _| Ok(())).await {
            Ok(()) => Ok(true),
            Err(PortError::UnknownApp) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn deploy(
        &self,
        app: &AppName,
        deployment: &Deployment,
        by: &PrincipalId,
    ) -> Result<DeployReport, PortError> {
        let (app, deployment, by) = (app.clone(), deployment.clone(), by.clone());
        self.writer.write(move |tx| tx.deploy(&app, &deployment, &by)).await
    }
}

impl Tx<'_> {
    fn deploy(&self, app: &AppName, deployment: &Deployment, by: &PrincipalId) -> Result<DeployReport, PortError> {
        self.connection.run(sql::app_make, params![app.as_str(), self.now.0])?;
        self.connection.run(sql::app_invoke, [app.as_str()])?;
        let mut report = DeployReport::default();

        let wanted: BTreeSet<&ScriptName> = deployment.scripts.iter().map(|script| &script.name).collect();
        for old in scripts::list(self.connection, app)? {
            if !wanted.contains(&old.name) {
                self.delete_script(app, &old.name)?;
                report.scripts.push((old.name.to_string(), Change::Deleted));
            }
        }
        for script in &deployment.scripts {
            let (_, change) = self.put_script(app, &script.name, &script.source)?;
            report.scripts.push((script.name.to_string(), change));
        }

        let mut renamed = BTreeSet::new();
        for TriggerRename { from, to } in &deployment.renames {
            let params = [app.as_str(), from.as_str(), to.as_str()];
            if self.connection.run(sql::trigger_rename, params)? > 0 {
                renamed.insert(to);
            }
        }
        let wanted: BTreeSet<&TriggerName> = deployment.triggers.iter().map(|spec| &spec.name).collect();
        for old in triggers::list(self.connection, app)? {
            let name = triggers::name_of(&old);
            if !wanted.contains(name) {
                self.delete_trigger(app, name)?;
                report.triggers.push((name.to_string(), Change::Deleted));
            }
        }
        for spec in &deployment.triggers {
            let (_, change) = self.put_trigger(app, spec, by)?;
            let is_only_renamed = change == Change::Unchanged && renamed.contains(&spec.name);
            let change = if is_only_renamed { Change::Renamed } else { change };
            report.triggers.push((spec.name.to_string(), change));
        }
        report.scripts.sort_by(|one, other| one.0.cmp(&other.0));
        report.triggers.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(report)
    }
}
