//! The scripts of an app.

use crate::query::Query;
use crate::rows;
use crate::writer::Tx;
use crate::{SqliteStore, sql};
use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
use tidegate_core::{AppName, ScriptName};
use tidegate_ports::{Change, PortError, Script, ScriptStore};

#[async_trait]
impl ScriptStore for SqliteStore {
    async fn list(&self, app: &AppName) -> Result<Vec<Script>, PortError> {
        self.read_app(app.clone(), list).await
    }

    async fn get(&self, app: &AppName, name: &ScriptName) -> Result<Option<Script>, PortError> {
        let name = name.clone();
        self.read_app(app.clone(), move |connection, app| read(connection, app, &name)).await
    }

    async fn put(&self, app: &AppName, name: &ScriptName, source: &str) -> Result<Script, PortError> {
        let (app, name, source) = (app.clone(), name.clone(), source.to_owned());
        self.writer
            .write(move |tx| {
                tx.connection.require_app(&app)?;
                tx.put_script(&app, &name, &source).map(|(script, _)| script)
            })
            .await
    }

    async fn delete(&self, app: &AppName, name: &ScriptName) -> Result<bool, PortError> {
        let (app, name) = (app.clone(), name.clone());
        self.writer
            .write(move |tx| {
                tx.connection.require_app(&app)?;
                tx.delete_script(&app, &name)
            })
            .await
    }
}

impl Tx<'_> {
    pub(crate) fn put_script(
        &self,
        app: &AppName,
        name: &ScriptName,
        source: &str,
    ) -> Result<(Script, Change), PortError> {
        let old = read(self.connection, app, name)?;
        let change = match old {
            Some(old) if old.source == source => return Ok((old, Change::Unchanged)),
            Some(_) => Change::Updated,
            None => Change::Created,
        };
        let version = self.next_version()?.0;
        let params = params![app.as_str(), name.as_str(), version, source, self.now.0];
        self.connection.run(sql::script_put, params)?;
        let script = Script { name: name.clone(), version, source: source.to_owned(), updated_at: self.now };
        Ok((script, change))
    }

    pub(crate) fn delete_script(&self, app: &AppName, name: &ScriptName) -> Result<bool, PortError> {
        Ok(self.connection.run(sql::script_delete, [app.as_str(), name.as_str()])? > 0)
    }
}

pub(crate) fn list(connection: &Connection, app: &AppName) -> Result<Vec<Script>, PortError> {
    connection.all(sql::script_list, [app.as_str()], script)
}

fn read(connection: &Connection, app: &AppName, name: &ScriptName) -> Result<Option<Script>, PortError> {
    connection.maybe(sql::script_get, [app.as_str(), name.as_str()], script)
}

fn script(row: &Row<'_>) -> rusqlite::Result<Script> {
    Ok(Script {
        name: rows::name(row, "name")?,
        version: row.get("version")?,
        source: row.get("source")?,
        updated_at: rows::time(row, "updated_at")?,
    })
}
