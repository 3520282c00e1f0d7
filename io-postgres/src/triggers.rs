//! Reads and writes triggers.

use crate::emit::require_app;
use crate::error::{OrFailed, port};
use crate::{PgStore, rows, sql};
use async_trait::async_trait;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{Connection, PgConnection, Postgres, Row};
use tidegate_core::{AppName, Match, PrincipalId, RetryPolicySpec, Trigger, TriggerId, TriggerName, TriggerSpec};
use tidegate_ports::{Change, InvalidTrigger, PortError, TriggerStore};

#[async_trait]
impl TriggerStore for PgStore {
    async fn list(&self, app: &AppName) -> Result<Vec<Trigger>, PortError> {
        self.pool
            .read(async {
                let mut connection = self.connection().await?;
                require_app(&mut connection, app).await?;
                Ok(list(&mut connection, app).await?.into_iter().flatten().collect())
            })
            .await
    }

    async fn invalid(&self) -> Result<Vec<InvalidTrigger>, PortError> {
        self.pool
            .read(async {
                let rows = sqlx::query(sql::trigger_all).fetch_all(&mut *self.connection().await?).await.or_failed()?;
                let all = rows.iter().map(trigger).collect::<Result<Vec<_>, _>>().map_err(port)?;
                Ok(all.into_iter().filter_map(Result::err).collect())
            })
            .await
    }

    async fn get(&self, app: &AppName, name: &TriggerName) -> Result<Option<Trigger>, PortError> {
        self.pool
            .read(async {
                let mut connection = self.connection().await?;
                require_app(&mut connection, app).await?;
                Ok(read(&mut connection, app, name).await?.and_then(Result::ok))
            })
            .await
    }

    async fn put(&self, app: &AppName, spec: &TriggerSpec, by: &PrincipalId) -> Result<Trigger, PortError> {
        self.pool
            .write(async {
                let mut connection = self.connection().await?;
                let mut transaction = connection.begin().await.or_failed()?;
                require_app(&mut transaction, app).await?;
                let (trigger, _) = put(&mut transaction, app, spec, by).await?;
                transaction.commit().await.or_failed()?;
                Ok(trigger)
            })
            .await
    }

    async fn delete(&self, app: &AppName, name: &TriggerName) -> Result<bool, PortError> {
        self.pool
            .write(async {
                let mut connection = self.connection().await?;
                require_app(&mut connection, app).await?;
                delete(&mut connection, app, name).await
            })
            .await
    }

    async fn set_paused(&self, app: &AppName, name: &TriggerName, paused: bool) -> Result<Option<Trigger>, PortError> {
        self.pool
            .write(async {
                let mut connection = self.connection().await?;
                require_app(&mut connection, app).await?;
                let pause = sqlx::query(sql::trigger_pause).bind(app.as_str()).bind(name.as_str()).bind(paused);
                pause.execute(&mut *connection).await.or_failed()?;
                Ok(read(&mut connection, app, name).await?.and_then(Result::ok))
            })
            .await
    }
}

pub(crate) async fn put(
    connection: &mut PgConnection,
    app: &AppName,
    spec: &TriggerSpec,
    by: &PrincipalId,
) -> Result<(Trigger, Change), PortError> {
    // The lock makes puts of one app run one after the other, so that two puts of a new name create
    // one trigger.
    sqlx::query(sql::app_lock).bind(app.as_str()).execute(&mut *connection).await.or_failed()?;
    let old = read(connection, app, &spec.name).await?;
    let (statement, change) = match old {
        Some(Ok(old)) if old.spec == *spec => return Ok((old, Change::Unchanged)),
        Some(_) => (sql::trigger_update, Change::Updated),
        None => (sql::trigger_insert, Change::Created),
    };
    bind(sqlx::query(statement), app, spec, by).execute(&mut *connection).await.or_failed()?;
    let new = read(connection, app, &spec.name).await?;
    new.and_then(Result::ok).map(|trigger| (trigger, change)).ok_or_else(|| port(sqlx::Error::RowNotFound))
}

pub(crate) async fn delete(
    connection: &mut PgConnection,
    app: &AppName,
    name: &TriggerName,
) -> Result<bool, PortError> {
    let delete = sqlx::query(sql::trigger_delete).bind(app.as_str()).bind(name.as_str());
    Ok(delete.execute(connection).await.or_failed()?.rows_affected() > 0)
}

/// Binds the spec, and the parts of it that SQL reads from columns.
fn bind<'q>(
    query: Query<'q, Postgres, PgArguments>,
    app: &'q AppName,
    spec: &'q TriggerSpec,
    by: &'q PrincipalId,
) -> Query<'q, Postgres, PgArguments> {
    let (on_set, on_delete, first, second) = match &spec.rule {
        Match::Kv { ops, collection, key } => (ops.set, ops.delete, collection.as_str(), key.as_str()),
        Match::App { event_type, subject } => (false, false, event_type.as_str(), subject.as_str()),
        Match::DeadLetter { trigger } => (false, false, trigger.as_str(), ""),
        Match::Http { .. } | Match::Cron { .. } => (false, false, "", ""),
    };
    let (handler_kind, handler_name) = spec.handler.parts();
    let retry = RetryPolicySpec::from(spec.retry);
    // The core's limits are far below the limits of these types.
    let int = |ms: u64| i32::try_from(ms).unwrap_or(i32::MAX);
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
        .bind(i32::try_from(retry.max_attempts).unwrap_or(i32::MAX))
        .bind(i32::try_from(retry.max_lost).unwrap_or(i32::MAX))
        .bind(retry.backoff.as_str())
        .bind(int(retry.base_ms))
        .bind(int(retry.max_ms))
        .bind(retry.jitter as f32)
        .bind(retry.max_age_ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX)))
        .bind(int(spec.timeout_ms.get()))
        .bind(spec.max_concurrency.map(|limit| i32::try_from(limit.get()).unwrap_or(i32::MAX)))
        .bind(spec.enabled)
        .bind(by.as_str())
}

/// A trigger, unless its spec does not parse.
pub(crate) type StoredTrigger = Result<Trigger, InvalidTrigger>;

pub(crate) async fn list(connection: &mut PgConnection, app: &AppName) -> Result<Vec<StoredTrigger>, PortError> {
    let rows = sqlx::query(sql::trigger_list).bind(app.as_str()).fetch_all(connection).await.or_failed()?;
    rows.iter().map(trigger).collect::<Result<_, _>>().map_err(port)
}

async fn read(
    connection: &mut PgConnection,
    app: &AppName,
    name: &TriggerName,
) -> Result<Option<StoredTrigger>, PortError> {
    let get = sqlx::query(sql::trigger_get).bind(app.as_str()).bind(name.as_str());
    let row = get.fetch_optional(connection).await.or_failed()?;
    row.as_ref().map(trigger).transpose().map_err(port)
}

fn trigger(row: &PgRow) -> Result<StoredTrigger, sqlx::Error> {
    let app = rows::name(row, "app")?;
    let spec = match serde_json::from_str(row.try_get("spec")?) {
        Ok(spec) => spec,
        Err(error) => {
            let name = rows::name(row, "name")?;
            return Ok(Err(InvalidTrigger { app, name, reason: error.to_string() }));
        }
    };
    Ok(Ok(Trigger {
        id: TriggerId(row.try_get("id")?),
        app,
        spec,
        paused: row.try_get("paused")?,
        registered_by: rows::name(row, "registered_by")?,
        version: row.try_get("version")?,
    }))
}

/// The name of a stored trigger.
pub(crate) fn name_of(stored: &StoredTrigger) -> &TriggerName {
    match stored {
        Ok(trigger) => &trigger.spec.name,
        Err(invalid) => &invalid.name,
    }
}
