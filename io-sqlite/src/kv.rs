//! Values by collection and key.

use crate::emit::{Audience, kv_event};
use crate::inline_claim::InlineClaims;
use crate::query::Query;
use crate::rows;
use crate::writer::Tx;
use crate::{SqliteStore, sql};
use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
use tidegate_core::{AppName, Cause, Collection, Json, Key, KvOp, Source, Version};
use tidegate_ports::{Guard, KvEntries, KvEntry, KvMutation, KvPage, KvStore, PortError};

#[async_trait]
impl KvStore for SqliteStore {
    async fn get(&self, app: &AppName, collection: &Collection, key: &Key) -> Result<Option<KvEntry>, PortError> {
        let (app, collection, key) = (app.clone(), collection.clone(), key.clone());
        self.read_app(app, move |connection, app| read(connection, app, &collection, &key)).await
    }

    async fn put(
        &self,
        app: &AppName,
        collection: &Collection,
        key: &Key,
        value: Json,
        guard: Guard,
        cause: &Cause,
    ) -> Result<KvMutation, PortError> {
        let (app, collection, key, cause) = (app.clone(), collection.clone(), key.clone(), cause.clone());
        let put = move |tx: &Tx<'_>, inline: &mut InlineClaims| {
            tx.connection.require_app(&app)?;
            tx.check_guard(&app, &collection, &key, guard)?;
            tx.put(&app, &collection, &key, &value, &cause, inline)
        };
        self.write_events(put, |mutated| std::slice::from_mut(&mut mutated.emitted)).await
    }

    async fn delete(
        &self,
        app: &AppName,
        collection: &Collection,
        key: &Key,
        guard: Guard,
        cause: &Cause,
    ) -> Result<Option<KvMutation>, PortError> {
        let (app, collection, key, cause) = (app.clone(), collection.clone(), key.clone(), cause.clone());
        let delete = move |tx: &Tx<'_>, inline: &mut InlineClaims| {
            tx.connection.require_app(&app)?;
            tx.check_guard(&app, &collection, &key, guard)?;
            tx.delete_value(&app, &collection, &key, &cause, inline)
        };
        self.write_events(delete, |mutated| {
            mutated.as_mut().map_or(&mut [], |mutated| std::slice::from_mut(&mut mutated.emitted))
        })
        .await
    }

    async fn list(&self, app: &AppName, collection: &Collection, page: &KvPage) -> Result<KvEntries, PortError> {
        let (collection, page) = (collection.clone(), page.clone());
        self.read_app(app.clone(), move |connection, app| {
            let after = page.after.as_ref().map_or("", Key::as_str);
            let params = params![app.as_str(), collection.as_str(), after, page.prefix, page.limit];
            // Each row is read when it is taken, so a page reads at most one entry too many.
            connection.rows(sql::kv_list, params, entry, |rows| KvEntries::within(page.bytes_max, rows))
        })
        .await
    }
}

impl Tx<'_> {
    fn check_guard(&self, app: &AppName, collection: &Collection, key: &Key, guard: Guard) -> Result<(), PortError> {
        if guard == Guard::Any {
            return Ok(());
        }
        let current = read(self.connection, app, collection, key)?.map(|entry| entry.version);
        let holds = match guard {
            Guard::Any => true,
            Guard::Absent => current.is_none(),
            Guard::Version(version) => current == Some(version),
        };
        if holds { Ok(()) } else { Err(PortError::PreconditionFailed { current }) }
    }

    /// Sets a value and emits its event.
    pub(crate) fn put(
        &self,
        app: &AppName,
        collection: &Collection,
        key: &Key,
        value: &Json,
        cause: &Cause,
        inline: &mut InlineClaims,
    ) -> Result<KvMutation, PortError> {
        let version = self.next_version()?;
        let params = params![app.as_str(), collection.as_str(), key.as_str(), value.as_str(), version.0, self.now.0];
        self.connection.run(sql::kv_put, params)?;
        let event = kv_event(KvOp::Set, collection, key, Some(value), version);
        let emitted = self.fan_out(app, Source::Kv, &event, cause, Audience::default(), inline)?;
        Ok(KvMutation { version, updated_at: self.now, emitted })
    }

    /// Deletes a value and emits its event, if the key has a value.
    pub(crate) fn delete_value(
        &self,
        app: &AppName,
        collection: &Collection,
        key: &Key,
        cause: &Cause,
        inline: &mut InlineClaims,
    ) -> Result<Option<KvMutation>, PortError> {
        if self.connection.run(sql::kv_delete, [app.as_str(), collection.as_str(), key.as_str()])? == 0 {
            return Ok(None);
        }
        let version = self.next_version()?;
        let event = kv_event(KvOp::Delete, collection, key, None, version);
        let emitted = self.fan_out(app, Source::Kv, &event, cause, Audience::default(), inline)?;
        Ok(Some(KvMutation { version, updated_at: self.now, emitted }))
    }
}

fn read(
    connection: &Connection,
    app: &AppName,
    collection: &Collection,
    key: &Key,
) -> Result<Option<KvEntry>, PortError> {
    connection.maybe(sql::kv_get, [app.as_str(), collection.as_str(), key.as_str()], entry)
}

fn entry(row: &Row<'_>) -> rusqlite::Result<KvEntry> {
    Ok(KvEntry {
        key: rows::name(row, "key")?,
        value: Json::from_store(row.get("value")?),
        version: Version(row.get("version")?),
        updated_at: rows::time(row, "updated_at")?,
    })
}
