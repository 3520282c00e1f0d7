//! Values by collection and key.

use crate::emit::{Audience, kv_event};
use crate::error::port;
use crate::rows;
use crate::writer::{OrRefused, Tx};
use crate::{SqliteStore, sql};
use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use tidegate_core::{AppName, Cause, Collection, Json, Key, KvOp, Source, Version};
use tidegate_driver::{Guard, KvEntry, KvPage, KvStore, Mutated, PortError};

#[async_trait]
impl KvStore for SqliteStore {
    async fn get(&self, app: &AppName, collection: &Collection, key: &Key) -> Result<Option<KvEntry>, PortError> {
        let mut reader = self.reader(app).await?;
        read(&mut reader, app, collection, key).await
    }

    async fn put(
        &self,
        app: &AppName,
        collection: &Collection,
        key: &Key,
        value: Json,
        guard: Guard,
        cause: &Cause,
    ) -> Result<Mutated, PortError> {
        let (app, collection, key, cause) = (app.clone(), collection.clone(), key.clone(), cause.clone());
        self.writer
            .write(move |mut tx| {
                Box::pin(async move {
                    tx.require_app(&app).await?;
                    tx.check(&app, &collection, &key, guard).await?;
                    tx.put(&app, &collection, &key, &value, &cause).await
                })
            })
            .await
    }

    async fn delete(
        &self,
        app: &AppName,
        collection: &Collection,
        key: &Key,
        guard: Guard,
        cause: &Cause,
    ) -> Result<Option<Mutated>, PortError> {
        let (app, collection, key, cause) = (app.clone(), collection.clone(), key.clone(), cause.clone());
        self.writer
            .write(move |mut tx| {
                Box::pin(async move {
                    tx.require_app(&app).await?;
                    tx.check(&app, &collection, &key, guard).await?;
                    tx.delete_value(&app, &collection, &key, &cause).await
                })
            })
            .await
    }

    async fn list(&self, app: &AppName, collection: &Collection, page: &KvPage) -> Result<Vec<KvEntry>, PortError> {
        let mut reader = self.reader(app).await?;
        let rows = sqlx::query(sql::kv_list)
            .bind(app.as_str())
            .bind(collection.as_str())
            .bind(page.after.as_ref().map_or("", Key::as_str))
            .bind(&page.prefix)
            .bind(page.limit)
            .fetch_all(&mut *reader)
            .await
            .or_refused()?;
        rows.iter().map(entry).collect::<Result<_, _>>().map_err(port)
    }
}

impl Tx<'_> {
    async fn check(
        &mut self,
        app: &AppName,
        collection: &Collection,
        key: &Key,
        guard: Guard,
    ) -> Result<(), PortError> {
        if guard == Guard::Any {
            return Ok(());
        }
        let current = read(self.connection, app, collection, key).await?.map(|entry| entry.version);
        let holds = match guard {
            Guard::Any => true,
            Guard::Absent => current.is_none(),
            Guard::Version(version) => current == Some(version),
        };
        if holds { Ok(()) } else { Err(PortError::PreconditionFailed { current }) }
    }

    /// Sets a value and emits its event.
    pub(crate) async fn put(
        &mut self,
        app: &AppName,
        collection: &Collection,
        key: &Key,
        value: &Json,
        cause: &Cause,
    ) -> Result<Mutated, PortError> {
        let version = self.next_version().await?;
        sqlx::query(sql::kv_put)
            .bind(app.as_str())
            .bind(collection.as_str())
            .bind(key.as_str())
            .bind(value.as_str())
            .bind(version.0)
            .bind(self.now.0)
            .execute(&mut *self.connection)
            .await
            .or_refused()?;
        let event = kv_event(KvOp::Set, collection, key, Some(value), version);
        let emitted = self.fan_out(app, Source::Kv, &event, cause, Audience::default()).await?;
        Ok(Mutated { version, updated_at: self.now, emitted })
    }

    /// Deletes a value and emits its event, if there was one.
    pub(crate) async fn delete_value(
        &mut self,
        app: &AppName,
        collection: &Collection,
        key: &Key,
        cause: &Cause,
    ) -> Result<Option<Mutated>, PortError> {
        let deleted = sqlx::query(sql::kv_delete)
            .bind(app.as_str())
            .bind(collection.as_str())
            .bind(key.as_str())
            .execute(&mut *self.connection)
            .await
            .or_refused()?;
        if deleted.rows_affected() == 0 {
            return Ok(None);
        }
        let version: Version = self.next_version().await?;
        let event = kv_event(KvOp::Delete, collection, key, None, version);
        let emitted = self.fan_out(app, Source::Kv, &event, cause, Audience::default()).await?;
        Ok(Some(Mutated { version, updated_at: self.now, emitted }))
    }
}

async fn read(
    connection: &mut SqliteConnection,
    app: &AppName,
    collection: &Collection,
    key: &Key,
) -> Result<Option<KvEntry>, PortError> {
    let row = sqlx::query(sql::kv_get)
        .bind(app.as_str())
        .bind(collection.as_str())
        .bind(key.as_str())
        .fetch_optional(connection)
        .await
        .or_refused()?;
    row.as_ref().map(entry).transpose().map_err(port)
}

fn entry(row: &SqliteRow) -> Result<KvEntry, sqlx::Error> {
    Ok(KvEntry {
        key: rows::name(row, "key")?,
        value: Json::from_store(row.try_get("value")?),
        version: Version(row.try_get("version")?),
        updated_at: rows::time(row, "updated_at")?,
    })
}
