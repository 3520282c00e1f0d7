//! Apps, and their deployment as a whole.

use crate::error::port;
use crate::rows;
use crate::writer::{OrRefused, Tx};
use crate::{SqliteStore, scripts, sql, triggers};
use async_trait::async_trait;
use sqlx::Sqlite;
use sqlx::pool::PoolConnection;
use std::collections::BTreeSet;
use tidegate_core::{AppName, PrincipalId, ScriptName, TriggerName};
use tidegate_driver::{AppStore, AppSummary, Change, DeployReport, Deployment, PortError};

impl SqliteStore {
    /// A connection to read an app with, if there is such an app.
    pub(crate) async fn reader(&self, app: &AppName) -> Result<PoolConnection<Sqlite>, PortError> {
        let mut reader = self.readers.acquire().await.or_refused()?;
        let exists: bool =
            sqlx::query_scalar(sql::app_exists).bind(app.as_str()).fetch_one(&mut *reader).await.or_refused()?;
        if exists { Ok(reader) } else { Err(PortError::UnknownApp) }
    }
}

#[async_trait]
impl AppStore for SqliteStore {
    async fn list(&self) -> Result<Vec<AppSummary>, PortError> {
        let rows = sqlx::query(sql::app_list).fetch_all(&self.readers).await.or_refused()?;
        rows.iter()
            .map(|row| Ok(AppSummary { name: rows::name(row, "name")?, created_at: rows::time(row, "created_at")? }))
            .collect::<Result<_, _>>()
            .map_err(port)
    }

    async fn exists(&self, app: &AppName) -> Result<bool, PortError> {
        match self.reader(app).await {
            Ok(_) => Ok(true),
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
        self.writer.write(move |tx| Box::pin(deploy(tx, app, deployment, by))).await
    }
}

async fn deploy(
    mut tx: Tx<'_>,
    app: AppName,
    deployment: Deployment,
    by: PrincipalId,
) -> Result<DeployReport, PortError> {
    sqlx::query(sql::app_make).bind(app.as_str()).bind(tx.now.0).execute(&mut *tx.connection).await.or_refused()?;
    sqlx::query(sql::app_invoke).bind(app.as_str()).execute(&mut *tx.connection).await.or_refused()?;
    let mut report = DeployReport::default();

    let wanted: BTreeSet<&ScriptName> = deployment.scripts.iter().map(|script| &script.name).collect();
    for old in scripts::list(tx.connection, &app).await? {
        if !wanted.contains(&old.name) {
            tx.delete_script(&app, &old.name).await?;
            report.scripts.push((old.name.to_string(), Change::Deleted));
        }
    }
    for script in &deployment.scripts {
        let (_, change) = tx.put_script(&app, &script.name, &script.source).await?;
        report.scripts.push((script.name.to_string(), change));
    }

    let wanted: BTreeSet<&TriggerName> = deployment.triggers.iter().map(|spec| &spec.name).collect();
    for old in triggers::list(tx.connection, &app).await? {
        if !wanted.contains(&old.spec.name) {
            tx.delete_trigger(&app, &old.spec.name).await?;
            report.triggers.push((old.spec.name.to_string(), Change::Deleted));
        }
    }
    for spec in &deployment.triggers {
        let (_, change) = tx.put_trigger(&app, spec, &by).await?;
        report.triggers.push((spec.name.to_string(), change));
    }
    report.scripts.sort_by(|one, other| one.0.cmp(&other.0));
    report.triggers.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(report)
}
