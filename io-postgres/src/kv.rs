//! Values by collection and key.

use crate::emit::require_app;
use crate::error::{OrFailed, port};
use crate::time::PgTime;
use crate::{PgStore, rows, sql};
use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;
use tidegate_core::{AppName, Cause, Collection, EventId, Json, Key, TriggerId, Version};
use tidegate_driver::{Emitted, Guard, KvEntry, KvPage, KvStore, Mutated, PortError};

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
    ) -> Result<Mutated, PortError> {
        let done = self.mutate(app, collection, key, Some(&value), guard, cause).await?;
        done.ok_or_else(|| port(sqlx::Error::RowNotFound))
    }

    async fn delete(
        &self,
        app: &AppName,
        collection: &Collection,
        key: &Key,
        guard: Guard,
        cause: &Cause,
    ) -> Result<Option<Mutated>, PortError> {
        self.mutate(app, collection, key, None, guard, cause).await
    }

    async fn list(&self, app: &AppName, collection: &Collection, page: &KvPage) -> Result<Vec<KvEntry>, PortError> {
        let mut connection = self.connection().await?;
        require_app(&mut connection, app).await?;
        let rows = sqlx::query(sql::kv_list)
            .bind(app.as_str())
            .bind(collection.as_str())
            .bind(page.after.as_ref().map_or("", Key::as_str))
            .bind(&page.prefix)
            .bind(after_prefix(&page.prefix))
            .bind(i64::from(page.limit))
            .fetch_all(&mut *connection)
            .await
            .or_failed()?;
        rows.iter().map(entry).collect::<Result<_, _>>().map_err(port)
    }
}

impl PgStore {
    async fn mutate(
        &self,
        app: &AppName,
        collection: &Collection,
        key: &Key,
        value: Option<&Json>,
        guard: Guard,
        cause: &Cause,
    ) -> Result<Option<Mutated>, PortError> {
        let (guard, version) = match guard {
            Guard::Any => ("any", None),
            Guard::Absent => ("absent", None),
            Guard::Version(version) => ("version", Some(version.0)),
        };
        let depth = cause.parent.map_or(0, |parent| i32::try_from(parent.depth).unwrap_or(i32::MAX));
        let mut connection = self.connection().await?;
        let row = sqlx::query(sql::kv_mutate)
            .bind(app.as_str())
            .bind(collection.as_str())
            .bind(key.as_str())
            .bind(value.map(Json::as_str))
            .bind(guard)
            .bind(version)
            .bind(cause.actor.as_str())
            .bind(cause.parent.map(|parent| parent.root_id.0))
            .bind(cause.parent.map(|parent| parent.parent_id.0))
            .bind(depth)
            .bind(cause.traceparent.as_deref())
            .fetch_one(&mut *connection)
            .await;
        let row = connection.finish(row).or_failed()?;
        let mutated = mutated(&row).map_err(port)??;
        if mutated.as_ref().is_some_and(|mutated| !mutated.emitted.woken.is_empty()) {
            self.notify();
        }
        Ok(mutated)
    }
}

/// What a mutation answered: the outer error is of reading it, the inner one the store's own word.
fn mutated(row: &PgRow) -> Result<Result<Option<Mutated>, PortError>, sqlx::Error> {
    Ok(match row.try_get("status")? {
        "done" => {
            let woken: Vec<i64> = row.try_get("woken")?;
            Ok(Some(Mutated {
                version: Version(row.try_get("version")?),
                updated_at: row.try_get::<PgTime, _>("updated_at")?.0,
                emitted: Emitted {
                    event_id: EventId(row.try_get("event_id")?),
                    woken: woken.into_iter().map(TriggerId).collect(),
                },
            }))
        }
        "absent" => Ok(None),
        "unknown_app" => Err(PortError::UnknownApp),
        _ => {
            let current = row.try_get::<Option<i64>, _>("current")?.map(Version);
            Err(PortError::PreconditionFailed { current })
        }
    })
}

/// The least text that is greater than all that begin with `prefix`, in the order of bytes: it ends the walk over the
/// index. `None` if there is none.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut rest = prefix.chars();
    while let Some(last) = rest.next_back() {
        // The order of bytes is the order of code points. Surrogates are none.
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
    fn the_text_after_a_prefix() {
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
