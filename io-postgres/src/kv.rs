//! Reads, lists and writes values.

use crate::emit::require_app;
use crate::error::{OrFailed, port};
use crate::mutations::Mutation;
use crate::{PgStore, rows, sql};
use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;
use tidegate_core::{AppName, Cause, Collection, Json, Key, Version};
use tidegate_ports::{Guard, KvEntries, KvEntry, KvMutation, KvPage, KvStore, PortError};

#[async_trait]
impl KvStore for PgStore {
    async fn get(&self, app: &AppName, collection: &Collection, key: &Key) -> Result<Option<KvEntry>, PortError> {
        let mut connection = self.connection().await?;
        let row = sqlx::query(sql::kv_get)
            .bind(app.as_str())
            .bind(collection.as_str())
            .bind(key.as_str())
            .fetch_optional(&mut *connection)
            .await
            .or_failed()?;
        match row {
            Some(row) => connection.finish(entry(&row)).map(Some).map_err(port),
            None => require_app(&mut connection, app).await.map(|()| None),
        }
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
        let done = self.mutations.run(mutation(app, collection, key, Some(value), guard, cause)).await?;
        done.ok_or_else(|| port(sqlx::Error::RowNotFound))
    }

    async fn delete(
        &self,
        app: &AppName,
        collection: &Collection,
        key: &Key,
        guard: Guard,
        cause: &Cause,
    ) -> Result<Option<KvMutation>, PortError> {
        self.mutations.run(mutation(app, collection, key, None, guard, cause)).await
    }

    async fn list(&self, app: &AppName, collection: &Collection, page: &KvPage) -> Result<KvEntries, PortError> {
        let mut connection = self.connection().await?;
        require_app(&mut connection, app).await?;
        let rows = sqlx::query(sql::kv_list)
            .bind(app.as_str())
            .bind(collection.as_str())
            .bind(page.after.as_ref().map_or("", Key::as_str))
            .bind(&page.prefix)
            .bind(after_prefix(&page.prefix))
            .bind(i64::from(page.limit))
            .bind(i64::try_from(page.bytes_max).unwrap_or(i64::MAX))
            .fetch_all(&mut *connection)
            .await
            .or_failed()?;
        let entries: Vec<KvEntry> = rows.iter().map(entry).collect::<Result<_, _>>().map_err(port)?;
        let found: i64 = rows.first().map_or(Ok(0), |row| row.try_get("found")).map_err(port)?;
        let is_cut = i64::try_from(entries.len()).is_ok_and(|listed| listed < found);
        Ok(KvEntries { entries, is_cut })
    }
}

fn mutation(
    app: &AppName,
    collection: &Collection,
    key: &Key,
    value: Option<Json>,
    guard: Guard,
    cause: &Cause,
) -> Mutation {
    let (app, collection, key, cause) = (app.clone(), collection.clone(), key.clone(), cause.clone());
    Mutation { app, collection, key, value, guard, cause }
}

/// The least text that is greater than all texts with the prefix, in the order of bytes. It ends
/// the range of the index that a list reads. `None` if no text is greater.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut rest = prefix.chars();
    while let Some(last) = rest.next_back() {
        // The order of bytes is the order of code points. Surrogates cannot occur in a text.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            return Some(format!("{}{next}", rest.as_str()));
        }
    }
    None
}

fn entry(row: &PgRow) -> Result<KvEntry, sqlx::Error> {
    Ok(KvEntry {
        key: rows::name(row, "key")?,
        value: Json::from_store(row.try_get("value")?),
        version: Version(row.try_get("version")?),
        updated_at: rows::time(row, "updated_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_after_a_prefix_is_greater_than_all_texts_with_the_prefix() {
        for (prefix, expected) in [
            ("", None),
            ("a", Some("b")),
            ("a/", Some("a0")),
            ("aé", Some("aê")),
            ("a\u{10ffff}", Some("b")),
            ("\u{10ffff}\u{10ffff}", None),
            ("a\u{d7ff}", Some("a\u{e000}")),
        ] {
            assert_eq!(after_prefix(prefix).as_deref(), expected, "{prefix:?}");
        }
    }
}
