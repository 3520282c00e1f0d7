//! Decodes columns into the core's types.

use crate::time::PgTime;
use sqlx::Row;
use sqlx::postgres::PgRow;
use std::str::FromStr;
use tidegate_core::{
    AppName, Attempt, Backoff, Event, EventId, EventType, Handler, HandlerReply, InboxId, Json, PrincipalId,
    RetryPolicy, RetryPolicySpec, Source, Subject, Timestamp,
};
use uuid::Uuid;

/// The error for a column whose value Tidegate cannot have written.
fn bad(column: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: error.into() }
}

/// Parses a text column into a name.
pub(crate) fn name<T>(row: &PgRow, column: &str) -> Result<T, sqlx::Error>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    row.try_get::<&str, _>(column)?.parse().map_err(|error| bad(column, error))
}

pub(crate) fn time(row: &PgRow, column: &str) -> Result<Timestamp, sqlx::Error> {
    row.try_get::<PgTime, _>(column).map(|time| time.0)
}

pub(crate) fn count(row: &PgRow, column: &str) -> Result<u32, sqlx::Error> {
    row.try_get::<i32, _>(column).map(|count| u32::try_from(count).unwrap_or_default())
}

/// Parses a JSON column that is selected as text.
pub(crate) fn json<T: serde::de::DeserializeOwned>(row: &PgRow, column: &str) -> Result<T, sqlx::Error> {
    serde_json::from_str(row.try_get(column)?).map_err(|error| bad(column, error))
}

/// Parses a JSON column that is selected as text and may be null.
pub(crate) fn maybe_json<T: serde::de::DeserializeOwned>(row: &PgRow, column: &str) -> Result<Option<T>, sqlx::Error> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(serde_json::from_str).transpose().map_err(|error| bad(column, error))
}

/// Parses the stored reply of a call.
pub(crate) fn reply(row: &PgRow) -> Result<HandlerReply, sqlx::Error> {
    let text: String = row.try_get_unchecked("reply")?;
    serde_json::from_str(&text).map_err(|error| bad("reply", error))
}

/// Decodes the columns of an event. `data` is selected as text or as `json`; in both forms it is
/// the emitted text.
pub(crate) fn event(row: &PgRow, app: AppName) -> Result<Event, sqlx::Error> {
    let id = |column| row.try_get::<Uuid, _>(column).map(EventId);
    let source: &str = row.try_get("source")?;
    Ok(Event {
        id: id("event_id")?,
        app,
        source: Source::from_name(source).ok_or_else(|| bad("source", "an unknown source"))?,
        event_type: name::<EventType>(row, "type")?,
        subject: name::<Subject>(row, "subject")?,
        time: time(row, "time")?,
        data: Json::from_store(row.try_get_unchecked("data")?),
        actor: name::<PrincipalId>(row, "actor")?,
        root_id: id("root_id")?,
        parent_id: row.try_get::<Option<Uuid>, _>("parent_id")?.map(EventId),
        depth: count(row, "depth")?,
        traceparent: row.try_get("traceparent")?,
    })
}

/// Decodes the columns of a retry policy.
pub(crate) fn policy(row: &PgRow) -> Result<RetryPolicy, sqlx::Error> {
    let backoff: &str = row.try_get("backoff")?;
    let spec = RetryPolicySpec {
        max_attempts: count(row, "max_attempts")?,
        backoff: Backoff::from_name(backoff).ok_or_else(|| bad("backoff", "an unknown shape"))?,
        base_ms: count(row, "base_ms")?.into(),
        max_ms: count(row, "max_ms")?.into(),
        // Single precision is enough: the core rounds to a millionth.
        jitter: row.try_get::<f32, _>("jitter")?.into(),
        max_age_ms: row.try_get::<Option<i64>, _>("max_age_ms")?.and_then(|ms| u64::try_from(ms).ok()),
    };
    RetryPolicy::try_from(spec).map_err(|error| bad("max_attempts", error))
}

/// Decodes the kind and name of a handler. A deleted trigger has no handler.
pub(crate) fn handler(row: &PgRow) -> Result<Option<Handler>, sqlx::Error> {
    let kind: Option<&str> = row.try_get("handler_kind")?;
    let handler_name: Option<&str> = row.try_get("handler_name")?;
    Ok(kind.zip(handler_name).and_then(|(kind, name)| Handler::from_parts(kind, name)))
}

/// Parses the failed attempts, which are selected as text.
pub(crate) fn failed(row: &PgRow) -> Result<Vec<Attempt>, sqlx::Error> {
    let text: Option<&str> = row.try_get("failed")?;
    text.map_or_else(|| Ok(Vec::new()), |text| serde_json::from_str(text).map_err(|error| bad("failed", error)))
}

/// Parses the inbox of a sync caller: `incarnation:seq`.
pub(crate) fn inbox(row: &PgRow) -> Result<Option<InboxId>, sqlx::Error> {
    let Some(text) = row.try_get::<Option<&str>, _>("reply_to")? else { return Ok(None) };
    text.parse().map(Some).map_err(|error: &str| bad("reply_to", error))
}
