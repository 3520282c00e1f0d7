//! Triggers.

use crate::error::port;
use crate::rows;
use crate::writer::{OrRefused, Tx};
use crate::{SqliteStore, sql};
use async_trait::async_trait;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row, Sqlite, SqliteConnection, query::Query};
use tidegate_core::{
    AppName, Match, MaxConcurrency, PrincipalId, RetryPolicySpec, Trigger, TriggerId, TriggerName, TriggerSpec,
};
use tidegate_driver::{Change, PortError, TriggerStore};

#[async_trait]
impl TriggerStore for SqliteStore {
    async fn list(&self, app: &AppName) -> Result<Vec<Trigger>, PortError> {
        let mut reader = self.reader(app).await?;
        list(&mut reader, app).await
    }

    async fn get(&self, app: &AppName, name: &TriggerName) -> Result<Option<Trigger>, PortError> {
        let mut reader = self.reader(app).await?;
        read(&mut reader, app, name).await
    }

    async fn put(&self, app: &AppName, spec: &TriggerSpec, by: &PrincipalId) -> Result<Trigger, PortError> {
        let (app, spec, by) = (app.clone(), spec.clone(), by.clone());
        self.writer
            .write(move |mut tx| {
                Box::pin(async move {
                    tx.require_app(&app).await?;
                    tx.put_trigger(&app, &spec, &by).await.map(|(trigger, _)| trigger)
                })
            })
            .await
    }

    async fn delete(&self, app: &AppName, name: &TriggerName) -> Result<bool, PortError> {
        let (app, name) = (app.clone(), name.clone());
        self.writer
            .write(move |mut tx| {
                Box::pin(async move {
                    tx.require_app(&app).await?;
                    tx.delete_trigger(&app, &name).await
                })
            })
            .await
    }

    async fn set_paused(&self, app: &AppName, name: &TriggerName, paused: bool) -> Result<Option<Trigger>, PortError> {
        let (app, name) = (app.clone(), name.clone());
        self.writer
            .write(move |mut tx| {
                Box::pin(async move {
                    tx.require_app(&app).await?;
                    sqlx::query(sql::trigger_pause)
                        .bind(app.as_str())
                        .bind(name.as_str())
                        .bind(paused)
                        .execute(&mut *tx.connection)
                        .await
                        .or_refused()?;
                    read(tx.connection, &app, &name).await
                })
            })
            .await
    }
}

impl Tx<'_> {
    pub(crate) async fn put_trigger(
        &mut self,
        app: &AppName,
        spec: &TriggerSpec,
        by: &PrincipalId,
    ) -> Result<(Trigger, Change), PortError> {
        let old = read(self.connection, app, &spec.name).await?;
        let (statement, change) = match old {
            Some(old) if old.spec == *spec => return Ok((old, Change::Unchanged)),
            Some(_) => (sql::trigger_update, Change::Updated),
            None => (sql::trigger_insert, Change::Created),
        };
        bind(sqlx::query(statement), app, spec, by).execute(&mut *self.connection).await.or_refused()?;
        let new = read(self.connection, app, &spec.name).await?;
        new.map(|trigger| (trigger, change)).ok_or_else(|| port(sqlx::Error::RowNotFound))
    }

    pub(crate) async fn delete_trigger(&mut self, app: &AppName, name: &TriggerName) -> Result<bool, PortError> {
        let deleted = sqlx::query(sql::trigger_delete)
            .bind(app.as_str())
            .bind(name.as_str())
            .bind(self.now.0)
            .execute(&mut *self.connection)
            .await
            .or_refused()?;
        Ok(deleted.rows_affected() > 0)
    }
}

/// The spec, and beside it what SQL needs of it.
fn bind<'q>(
    query: Query<'q, Sqlite, SqliteArguments>,
    app: &'q AppName,
    spec: &'q TriggerSpec,
    by: &'q PrincipalId,
) -> Query<'q, Sqlite, SqliteArguments> {
    let (on_set, on_delete, first, second) = match &spec.rule {
        Match::Kv { ops, collection, key } => (ops.set, ops.delete, collection.as_str(), key.as_str()),
        Match::App { event_type, subject } => (false, false, event_type.as_str(), subject.as_str()),
        Match::DeadLetter { trigger } => (false, false, trigger.as_str(), ""),
        Match::Http { .. } | Match::Cron { .. } => (false, false, "", ""),
    };
    let (handler_kind, handler_name) = spec.handler.parts();
    let retry = RetryPolicySpec::from(spec.retry);
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    query
        .bind(app.as_str())
        .bind(spec.name.as_str())
        .bind(serde_json::json!(spec).to_string())
        .bind(spec.rule.source().as_str())
        .bind(on_set)
        .bind(on_delete)
        .bind(first)
        .bind(second)
        .bind(handler_kind)
        .bind(handler_name)
        .bind(retry.max_attempts)
        .bind(retry.backoff.as_str())
        .bind(signed(retry.base_ms))
        .bind(signed(retry.max_ms))
        .bind(retry.jitter)
        .bind(retry.max_age_ms.map(signed))
        .bind(signed(spec.timeout_ms.get()))
        .bind(spec.max_concurrency.map(MaxConcurrency::get))
        .bind(spec.enabled)
        .bind(by.as_str())
}

pub(crate) async fn list(connection: &mut SqliteConnection, app: &AppName) -> Result<Vec<Trigger>, PortError> {
    let rows = sqlx::query(sql::trigger_list).bind(app.as_str()).fetch_all(connection).await.or_refused()?;
    rows.iter().map(trigger).collect::<Result<_, _>>().map_err(port)
}

async fn read(
    connection: &mut SqliteConnection,
    app: &AppName,
    name: &TriggerName,
) -> Result<Option<Trigger>, PortError> {
    let row = sqlx::query(sql::trigger_get)
        .bind(app.as_str())
        .bind(name.as_str())
        .fetch_optional(connection)
        .await
        .or_refused()?;
    row.as_ref().map(trigger).transpose().map_err(port)
}

fn trigger(row: &SqliteRow) -> Result<Trigger, sqlx::Error> {
    Ok(Trigger {
        id: TriggerId(row.try_get("id")?),
        app: rows::name(row, "app")?,
        spec: rows::json(row, "spec")?,
        paused: row.try_get("paused")?,
        registered_by: rows::name(row, "registered_by")?,
        version: row.try_get("version")?,
    })
}
