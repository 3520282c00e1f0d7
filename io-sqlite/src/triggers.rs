//! The triggers of an app.

use crate::error::OrRefused;
use crate::query::Query;
use crate::rows;
use crate::writer::Tx;
use crate::{SqliteStore, sql};
use async_trait::async_trait;
use rusqlite::{Connection, Error, Row, params};
use tidegate_core::{
    AppName, Match, MaxConcurrency, PrincipalId, RetryPolicySpec, Trigger, TriggerId, TriggerName, TriggerSpec,
};
use tidegate_ports::{Change, InvalidTrigger, PortError, TriggerStore};

#[async_trait]
impl TriggerStore for SqliteStore {
    async fn list(&self, app: &AppName) -> Result<Vec<Trigger>, PortError> {
        self.read_app(app.clone(), |connection, app| Ok(list(connection, app)?.into_iter().flatten().collect())).await
    }

    async fn invalid(&self) -> Result<Vec<InvalidTrigger>, PortError> {
        let all = self.readers.read(|connection| connection.all(sql::trigger_all, (), trigger)).await?;
        Ok(all.into_iter().filter_map(Result::err).collect())
    }

    async fn get(&self, app: &AppName, name: &TriggerName) -> Result<Option<Trigger>, PortError> {
        let name = name.clone();
        self.read_app(app.clone(), move |connection, app| Ok(read(connection, app, &name)?.and_then(Result::ok))).await
    }

    async fn put(&self, app: &AppName, spec: &TriggerSpec, by: &PrincipalId) -> Result<Trigger, PortError> {
        let (app, spec, by) = (app.clone(), spec.clone(), by.clone());
        self.writer
            .write(move |tx| {
                tx.connection.require_app(&app)?;
                tx.put_trigger(&app, &spec, &by).map(|(trigger, _)| trigger)
            })
            .await
    }

    async fn delete(&self, app: &AppName, name: &TriggerName) -> Result<bool, PortError> {
        let (app, name) = (app.clone(), name.clone());
        self.writer
            .write(move |tx| {
                tx.connection.require_app(&app)?;
                tx.delete_trigger(&app, &name)
            })
            .await
    }

    async fn set_paused(&self, app: &AppName, name: &TriggerName, paused: bool) -> Result<Option<Trigger>, PortError> {
        let (app, name) = (app.clone(), name.clone());
        self.writer
            .write(move |tx| {
                tx.connection.require_app(&app)?;
                tx.connection.run(sql::trigger_pause, params![app.as_str(), name.as_str(), paused])?;
                Ok(read(tx.connection, &app, &name)?.and_then(Result::ok))
            })
            .await
    }
}

impl Tx<'_> {
    pub(crate) fn put_trigger(
        &self,
        app: &AppName,
        spec: &TriggerSpec,
        by: &PrincipalId,
    ) -> Result<(Trigger, Change), PortError> {
        let old = read(self.connection, app, &spec.name)?;
        let (statement, change) = match old {
            Some(Ok(old)) if old.spec == *spec => return Ok((old, Change::Unchanged)),
            Some(_) => (sql::trigger_update, Change::Updated),
            None => (sql::trigger_insert, Change::Created),
        };
        write(self.connection, statement, app, spec, by)?;
        let new = read(self.connection, app, &spec.name)?;
        new.and_then(Result::ok).map(|trigger| (trigger, change)).ok_or(Error::QueryReturnedNoRows).or_refused()
    }

    pub(crate) fn delete_trigger(&self, app: &AppName, name: &TriggerName) -> Result<bool, PortError> {
        let params = params![app.as_str(), name.as_str(), self.now.0];
        Ok(self.connection.run(sql::trigger_delete, params)? > 0)
    }
}

/// Writes the spec as JSON, and the fields that SQL needs as columns.
fn write(
    connection: &Connection,
    statement: &'static str,
    app: &AppName,
    spec: &TriggerSpec,
    by: &PrincipalId,
) -> Result<(), PortError> {
    let (on_set, on_delete, first, second) = match &spec.rule {
        Match::Kv { ops, collection, key } => (ops.set, ops.delete, collection.as_str(), key.as_str()),
        Match::App { event_type, subject } => (false, false, event_type.as_str(), subject.as_str()),
        Match::DeadLetter { trigger } => (false, false, trigger.as_str(), ""),
        Match::Http { .. } | Match::Cron { .. } => (false, false, "", ""),
    };
    let (handler_kind, handler_name) = spec.handler.parts();
    let retry = RetryPolicySpec::from(spec.retry);
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    let params = params![
        app.as_str(),
        spec.name.as_str(),
        serde_json::json!(spec).to_string(),
        spec.rule.source().as_str(),
        on_set,
        on_delete,
        first,
        second,
        handler_kind,
        handler_name,
        retry.max_attempts,
        retry.max_lost,
        retry.backoff.as_str(),
        signed(retry.base_ms),
        signed(retry.max_ms),
        retry.jitter,
        retry.max_age_ms.map(signed),
        signed(spec.timeout_ms.get()),
        spec.max_concurrency.map(MaxConcurrency::get),
        spec.enabled,
        by.as_str(),
    ];
    connection.run(statement, params).map(drop)
}

/// A trigger, unless its spec does not parse.
pub(crate) type StoredTrigger = Result<Trigger, InvalidTrigger>;

pub(crate) fn list(connection: &Connection, app: &AppName) -> Result<Vec<StoredTrigger>, PortError> {
    connection.all(sql::trigger_list, [app.as_str()], trigger)
}

fn read(connection: &Connection, app: &AppName, name: &TriggerName) -> Result<Option<StoredTrigger>, PortError> {
    connection.maybe(sql::trigger_get, [app.as_str(), name.as_str()], trigger)
}

fn trigger(row: &Row<'_>) -> rusqlite::Result<StoredTrigger> {
    let app = rows::name(row, "app")?;
    let spec = match serde_json::from_str(rows::text(row, "spec")?) {
        Ok(spec) => spec,
        Err(error) => {
            let name = rows::name(row, "name")?;
            return Ok(Err(InvalidTrigger { app, name, reason: error.to_string() }));
        }
    };
    Ok(Ok(Trigger {
        id: TriggerId(row.get("id")?),
        app,
        spec,
        paused: row.get("paused")?,
        registered_by: rows::name(row, "registered_by")?,
        version: row.get("version")?,
    }))
}

/// The name of a stored trigger.
pub(crate) fn name_of(stored: &StoredTrigger) -> &TriggerName {
    match stored {
        Ok(trigger) => &trigger.spec.name,
        Err(invalid) => &invalid.name,
    }
}
