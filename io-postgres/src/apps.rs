//! Apps, and the deployment of all their scripts and triggers at once.

use crate::error::{OrFailed, port};
use crate::{PgStore, rows, scripts, sql, triggers};
use async_trait::async_trait;
use sqlx::{Connection, PgConnection};
use std::collections::BTreeSet;
use tidegate_core::{AppName, PrincipalId, ScriptName, TriggerName};
use tidegate_ports::{AppStore, AppSummary, Change, DeployReport, Deployment, PortError, TriggerRename};

#[async_trait]
impl AppStore for PgStore {
    async fn list(&self) -> Result<Vec<AppSummary>, PortError> {
        self.pool
            .read(async {
                let rows = sqlx::query(sql::app_list).fetch_all(&mut *self.connection().await?).await.or_failed()?;
                rows.iter()
                    .map(|row| {
                        Ok(AppSummary { name: rows::name(row, "name")?, created_at: rows::time(row, "created_at")? })
                    })
                    .collect::<Result<_, _>>()
                    .map_err(port)
            })
            .await
    }

    async fn exists(&self, app: &AppName) -> Result<bool, PortError> {
        self.pool
            .read(async {
                sqlx::query_scalar(sql::app_exists)
                    .bind(app.as_str())
                    .fetch_one(&mut *self.connection().await?)
                    .await
                    .or_failed()
            })
            .await
    }

    async fn deploy(
        &self,
        app: &AppName,
        deployment: &Deployment,
        by: &PrincipalId,
    ) -> Result<DeployReport, PortError> {
        self.pool
            .write_long(async {
                let mut connection = self.connection().await?;
                let mut transaction = connection.begin().await.or_failed()?;
                let report = deploy(&mut transaction, app, deployment, by).await?;
                transaction.commit().await.or_failed()?;
                Ok(report)
            })
            .await
    }
}

async fn deploy(
    connection: &mut PgConnection,
    app: &AppName,
    deployment: &Deployment,
    by: &PrincipalId,
) -> Result<DeployReport, PortError> {
    sqlx::query(sql::app_make).bind(app.as_str()).execute(&mut *connection).await.or_failed()?;
    sqlx::query(sql::app_lock).bind(app.as_str()).execute(&mut *connection).await.or_failed()?;
    sqlx::query(sql::app_invoke).bind(app.as_str()).execute(&mut *connection).await.or_failed()?;
    let mut report = DeployReport::default();

    let deployed: BTreeSet<&ScriptName> = deployment.scripts.iter().map(|script| &script.name).collect();
    let old: BTreeSet<ScriptName> = scripts::list(connection, app).await?.into_iter().map(|old| old.name).collect();
    for name in old.iter().filter(|name| !deployed.contains(name)) {
        scripts::delete(connection, app, name).await?;
        report.scripts.push((name.to_string(), Change::Deleted));
    }
    for script in &deployment.scripts {
        let change = scripts::put(connection, app, &script.name, &script.source).await?;
        let change = if old.contains(&script.name) { change } else { Change::Created };
        report.scripts.push((script.name.to_string(), change));
    }

    // Lock the triggers in the order of their ids, as all transactions do. The changes below are
    // made in the order of names.
    sqlx::query(sql::trigger_lock).bind(app.as_str()).execute(&mut *connection).await.or_failed()?;
    let mut renamed = BTreeSet::new();
    for TriggerRename { from, to } in &deployment.renames {
        let rename = sqlx::query(sql::trigger_rename).bind(app.as_str()).bind(from.as_str()).bind(to.as_str());
        if rename.execute(&mut *connection).await.or_failed()?.rows_affected() > 0 {
            renamed.insert(to);
        }
    }
    let deployed: BTreeSet<&TriggerName> = deployment.triggers.iter().map(|spec| &spec.name).collect();
    for old in triggers::list(connection, app).await? {
        let name = triggers::name_of(&old);
        if !deployed.contains(name) {
            triggers::delete(connection, app, name).await?;
            report.triggers.push((name.to_string(), Change::Deleted));
        }
    }
    for spec in &deployment.triggers {
        let (_, change) = triggers::put(connection, app, spec, by).await?;
        let is_only_renamed = change == Change::Unchanged && renamed.contains(&spec.name);
        let change = if is_only_renamed { Change::Renamed } else { change };
        report.triggers.push((spec.name.to_string(), change));
    }
    report.scripts.sort_by(|one, other| one.0.cmp(&other.0));
    report.triggers.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(report)
}
