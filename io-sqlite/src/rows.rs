//! Converts rows into the types of the core. Columns are found by name, or by position in
//! statements that return many rows.

use rusqlite::types::Type;
use rusqlite::{Error, Result, Row, RowIndex};
use std::str::FromStr;
use tidegate_core::{
    AppName, Attempt, Backoff, Event, EventId, EventType, Handler, InboxId, Json, Micros, PrincipalId, RetryPolicy,
    RetryPolicySpec, Source, Subject, Timestamp,
};
use uuid::Uuid;

/// The name or the position of a column.
pub(crate) trait Column: RowIndex + Copy {}
impl<C: RowIndex + Copy> Column for C {}

/// The error for a column value that Tidegate cannot have written.
fn invalid(row: &Row<'_>, column: impl Column, error: impl std::fmt::Display) -> Error {
    let statement = row.as_ref();
    let at = column.idx(statement).unwrap_or_default();
    let name = statement.column_name(at).unwrap_or("a column");
    Error::FromSqlConversionFailure(at, Type::Text, format!("{name}: {error}").into())
}

/// Parses a text column.
pub(crate) fn name<T>(row: &Row<'_>, column: impl Column) -> Result<T>
where
    T: FromStr,
    T::Err: std::error::Error,
{
    text(row, column)?.parse().map_err(|error| invalid(row, column, error))
}

/// Borrows a text column.
pub(crate) fn text<'r>(row: &'r Row<'_>, column: impl Column) -> Result<&'r str> {
    row.get_ref(column)?.as_str().map_err(|error| invalid(row, column, error))
}

/// Borrows a text column that may be null.
pub(crate) fn maybe_text<'r>(row: &'r Row<'_>, column: impl Column) -> Result<Option<&'r str>> {
    row.get_ref(column)?.as_str_or_null().map_err(|error| invalid(row, column, error))
}

pub(crate) fn time(row: &Row<'_>, column: impl Column) -> Result<Timestamp> {
    row.get(column).map(Timestamp)
}

/// Reads a column of milliseconds. A negative value becomes 0.
pub(crate) fn millis(row: &Row<'_>, column: impl Column) -> Result<Micros> {
    let ms: i64 = row.get(column)?;
    Ok(Micros::from_millis(u64::try_from(ms).unwrap_or_default()))
}

/// Reads a time column that may be null.
pub(crate) fn maybe_time(row: &Row<'_>, column: impl Column) -> Result<Option<Timestamp>> {
    row.get::<_, Option<i64>>(column).map(|at| at.map(Timestamp))
}

/// Reads an event id, which is a blob of 16 bytes.
pub(crate) fn event_id(row: &Row<'_>, column: impl Column) -> Result<EventId> {
    row.get(column).map(|bytes| EventId(Uuid::from_bytes(bytes)))
}

/// Parses a JSON column.
pub(crate) fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: impl Column) -> Result<T> {
    serde_json::from_str(text(row, column)?).map_err(|error| invalid(row, column, error))
}

/// Parses a JSON column that may be null.
pub(crate) fn maybe_json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: impl Column) -> Result<Option<T>> {
    let text = maybe_text(row, column)?;
    text.map(serde_json::from_str).transpose().map_err(|error| invalid(row, column, error))
}

/// Reads an event from 11 columns, which begin at position `at`. All statements have
/// the columns in this order: `event_id`, `source`, `type`, `subject`, `time`, `actor`, `root_id`,
/// `parent_id`, `depth`, `traceparent` and `data`.
pub(crate) fn event(row: &Row<'_>, at: usize, app: AppName) -> Result<Event> {
    let source = Source::from_name(text(row, at + 1)?);
    Ok(Event {
        id: event_id(row, at)?,
        app,
        source: source.ok_or_else(|| invalid(row, at + 1, "an unknown source"))?,
        event_type: name::<EventType>(row, at + 2)?,
        subject: name::<Subject>(row, at + 3)?,
        time: time(row, at + 4)?,
        actor: name::<PrincipalId>(row, at + 5)?,
        root_id: event_id(row, at + 6)?,
        parent_id: row.get::<_, Option<[u8; 16]>>(at + 7)?.map(|bytes| EventId(Uuid::from_bytes(bytes))),
        depth: row.get(at + 8)?,
        traceparent: row.get(at + 9)?,
        data: Json::from_store(row.get(at + 10)?),
    })
}

/// Reads an event. The column `event_id` is found by its name.
pub(crate) fn named_event(row: &Row<'_>, app: AppName) -> Result<Event> {
    event(row, row.as_ref().column_index("event_id")?, app)
}

/// Reads a retry policy from 7 columns, which begin at position `at`:
/// `max_attempts`, `max_lost`, `backoff`, `base_ms`, `max_ms`, `jitter` and `max_age_ms`.
pub(crate) fn policy(row: &Row<'_>, at: usize) -> Result<RetryPolicy> {
    let unsigned = |ms: i64| u64::try_from(ms).unwrap_or_default();
    let backoff = Backoff::from_name(text(row, at + 2)?);
    let spec = RetryPolicySpec {
        max_attempts: row.get(at)?,
        max_lost: row.get(at + 1)?,
        backoff: backoff.ok_or_else(|| invalid(row, at + 2, "an unknown back-off"))?,
        base_ms: unsigned(row.get(at + 3)?),
        max_ms: unsigned(row.get(at + 4)?),
        jitter: row.get(at + 5)?,
        max_age_ms: row.get::<_, Option<i64>>(at + 6)?.and_then(|ms| u64::try_from(ms).ok()),
    };
    RetryPolicy::try_from(spec).map_err(|error| invalid(row, at, error))
}

/// Reads a handler from `handler_kind` and `handler_name`, if they are not null.
pub(crate) fn handler(row: &Row<'_>) -> Result<Option<Handler>> {
    let (kind, handler_name) = (maybe_text(row, "handler_kind")?, maybe_text(row, "handler_name")?);
    Ok(kind.zip(handler_name).and_then(|(kind, name)| Handler::from_parts(kind, name)))
}

/// Reads the failed attempts.
pub(crate) fn failed(row: &Row<'_>) -> Result<Vec<Attempt>> {
    maybe_json(row, "failed").map(Option::unwrap_or_default)
}

/// Parses an inbox id, written as `incarnation:seq`.
pub(crate) fn inbox(row: &Row<'_>, column: impl Column) -> Result<Option<InboxId>> {
    let text = maybe_text(row, column)?;
    text.map(str::parse).transpose().map_err(|error: &str| invalid(row, column, error))
}
