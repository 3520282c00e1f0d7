//! Scripts.

use crate::error::port;
use crate::rows;
use crate::writer::{OrRefused, Tx};
use crate::{SqliteStore, sql};
use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use tidegate_core::{AppName, ScriptName};
use tidegate_driver::{Change, PortError, Script, ScriptStore};

#[async_trait]
impl ScriptStore for SqliteStore {
    async fn list(&self, app: &AppName) -> Result<Vec<Script>, PortError> {
        let mut reader = self.reader(app).await?;
        list(&mut reader, app).await
    }

    async fn get(&self, app: &AppName, name: &ScriptName) -> Result<Option<Script>, PortError> {
        let mut reader = self.reader(app).await?;
        read(&mut reader, app, name).await
    }

    async fn put(&self, app: &AppName, name: &ScriptName, source: &str) -> Result<Script, PortError> {
        let (app, name, source) = (app.clone(), name.clone(), source.to_owned());
        self.writer
            .write(move |mut tx| {
                Box::pin(async move {
                    tx.require_app(&app).await?;
                    tx.put_script(&app, &name, &source).await.map(|(script, _)| script)
                })
            })
            .await
    }

    async fn delete(&self, app: &AppName, name: &ScriptName) -> Result<bool, PortError> {
        let (app, name) = (app.clone(), name.clone());
        self.writer
            .write(move |mut tx| {
                Box::pin(async move {
                    tx.require_app(&app).await?;
                    tx.delete_script(&app, &name).await
                })
            })
            .await
    }
}

impl Tx<'_> {
    pub(crate) async fn put_script(
        &mut self,
        app: &AppName,
        name: &ScriptName,
        source: &str,
    ) -> Result<(Script, Change), PortError> {
        let old = read(self.connection, app, name).await?;
        let change = match old {
            Some(old) if old.source == source => return Ok((old, Change::Unchanged)),
            Some(_) => Change::Updated,
            None => Change::Created,
        };
        let version = self.next_version().await?.0;
        sqlx::query(sql::script_put)
            .bind(app.as_str())
            .bind(name.as_str())
            .bind(version)
            .bind(source)
            .bind(self.now.0)
            .execute(&mut *self.connection)
            .await
            .or_refused()?;
        let script = Script { name: name.clone(), version, source: source.to_owned(), updated_at: self.now };
        Ok((script, change))
    }

    pub(crate) async fn delete_script(&mut self, app: &AppName, name: &ScriptName) -> Result<bool, PortError> {
        let deleted = sqlx::query(sql::script_delete)
            .bind(app.as_str())
            .bind(name.as_str())
            .execute(&mut *self.connection)
            .await
            .or_refused()?;
        Ok(deleted.rows_affected() > 0)
    }
}

pub(crate) async fn list(connection: &mut SqliteConnection, app: &AppName) -> Result<Vec<Script>, PortError> {
    let rows = sqlx::query(sql::script_list).bind(app.as_str()).fetch_all(connection).await.or_refused()?;
    rows.iter().map(script).collect::<Result<_, _>>().map_err(port)
}

async fn read(
    connection: &mut SqliteConnection,
    app: &AppName,
    name: &ScriptName,
) -> Result<Option<Script>, PortError> {
    let row = sqlx::query(sql::script_get)
        .bind(app.as_str())
        .bind(name.as_str())
        .fetch_optional(connection)
        .await
        .or_refused()?;
    row.as_ref().map(script).transpose().map_err(port)
}

fn script(row: &SqliteRow) -> Result<Script, sqlx::Error> {
    Ok(Script {
        name: rows::name(row, "name")?,
        version: row.try_get("version")?,
        source: row.try_get("source")?,
        updated_at: rows::time(row, "updated_at")?,
    })
}
