//! Reads and writes scripts.

use crate::emit::require_app;
use crate::error::{OrFailed, port};
use crate::{PgStore, rows, sql};
use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use tidegate_core::{AppName, ScriptName};
use tidegate_ports::{Change, PortError, Script, ScriptStore};

#[async_trait]
impl ScriptStore for PgStore {
    async fn list(&self, app: &AppName) -> Result<Vec<Script>, PortError> {
        self.pool
            .read(async {
                let mut connection = self.connection().await?;
                require_app(&mut connection, app).await?;
                list(&mut connection, app).await
            })
            .await
    }

    async fn get(&self, app: &AppName, name: &ScriptName) -> Result<Option<Script>, PortError> {
        self.pool
            .read(async {
                let mut connection = self.connection().await?;
                require_app(&mut connection, app).await?;
                read(&mut connection, app, name).await
            })
            .await
    }

    async fn put(&self, app: &AppName, name: &ScriptName, source: &str) -> Result<Script, PortError> {
        self.pool
            .write(async {
                let mut connection = self.connection().await?;
                require_app(&mut connection, app).await?;
                put(&mut connection, app, name, source).await?;
                read(&mut connection, app, name).await?.ok_or_else(|| port(sqlx::Error::RowNotFound))
            })
            .await
    }

    async fn delete(&self, app: &AppName, name: &ScriptName) -> Result<bool, PortError> {
        self.pool
            .write(async {
                let mut connection = self.connection().await?;
                require_app(&mut connection, app).await?;
                delete(&mut connection, app, name).await
            })
            .await
    }
}

/// Writes a script. A new script counts as [`Change::Updated`]: the caller knows which scripts
/// existed before.
pub(crate) async fn put(
    connection: &mut PgConnection,
    app: &AppName,
    name: &ScriptName,
    source: &str,
) -> Result<Change, PortError> {
    let put = sqlx::query(sql::script_put).bind(app.as_str()).bind(name.as_str()).bind(source);
    let changed = put.execute(connection).await.or_failed()?.rows_affected() > 0;
    Ok(if changed { Change::Updated } else { Change::Unchanged })
}

pub(crate) async fn delete(connection: &mut PgConnection, app: &AppName, name: &ScriptName) -> Result<bool, PortError> {
    let delete = sqlx::query(sql::script_delete).bind(app.as_str()).bind(name.as_str());
    Ok(delete.execute(connection).await.or_failed()?.rows_affected() > 0)
}

pub(crate) async fn list(connection: &mut PgConnection, app: &AppName) -> Result<Vec<Script>, PortError> {
    let rows = sqlx::query(sql::script_list).bind(app.as_str()).fetch_all(connection).await.or_failed()?;
    rows.iter().map(script).collect::<Result<_, _>>().map_err(port)
}

async fn read(connection: &mut PgConnection, app: &AppName, name: &ScriptName) -> Result<Option<Script>, PortError> {
    let get = sqlx::query(sql::script_get).bind(app.as_str()).bind(name.as_str());
    let row = get.fetch_optional(connection).await.or_failed()?;
    row.as_ref().map(script).transpose().map_err(port)
}

fn script(row: &PgRow) -> Result<Script, sqlx::Error> {
    Ok(Script {
        name: rows::name(row, "name")?,
        version: row.try_get("version")?,
        source: row.try_get("source")?,
        updated_at: rows::time(row, "updated_at")?,
    })
}
