//! Rows into the core's types. Columns are found by their names, or by their places where there are many rows.

use rusqlite::types::Type;
use rusqlite::{Error, Result, Row, RowIndex};
use std::str::FromStr;
use tidegate_core::{
    AppName, Attempt, Backoff, Event, EventId, EventType, Handler, InboxId, Json, Micros, PrincipalId, RetryPolicy,
    RetryPolicySpec, Source, Subject, Timestamp,
};
use uuid::Uuid;

/// A column's name or place.
pub(crate) trait Column: RowIndex + Copy {}
impl<C: RowIndex + Copy> Column for C {}

/// What a column holds that no Tidegate has written.
fn bad(row: &Row<'_>, column: impl Column, error: impl std::fmt::Display) -> Error {
    let statement = row.as_ref();
    let at = column.idx(statement).unwrap_or_default();
    let name = statement.column_name(at).unwrap_or("a column");
    Error::FromSqlConversionFailure(at, Type::Text, format!("{name}: {error}").into())
}

/// A text column parsed into a name.
pub(crate) fn name<T>(row: &Row<'_>, column: impl Column) -> Result<T>
where
    T: FromStr,
    T::Err: std::error::Error,
{
    text(row, column)?.parse().map_err(|error| bad(row, column, error))
}

/// A text column that is looked at and not kept.
pub(crate) fn text<'r>(row: &'r Row<'_>, column: impl Column) -> Result<&'r str> {
    row.get_ref(column)?.as_str().map_err(|error| bad(row, column, error))
}

/// The same of a column that may be null.
pub(crate) fn maybe_text<'r>(row: &'r Row<'_>, column: impl Column) -> Result<Option<&'r str>> {
    row.get_ref(column)?.as_str_or_null().map_err(|error| bad(row, column, error))
}

pub(crate) fn time(row: &Row<'_>, column: impl Column) -> Result<Timestamp> {
    row.get(column).map(Timestamp)
}

/// A column of milliseconds.
pub(crate) fn millis(row: &Row<'_>, column: impl Column) -> Result<Micros> {
    let ms: i64 = row.get(column)?;
    Ok(Micros::from_millis(u64::try_from(ms).unwrap_or_default()))
}

/// The same as `time` of a column that may be null.
pub(crate) fn maybe_time(row: &Row<'_>, column: impl Column) -> Result<Option<Timestamp>> {
    row.get::<_, Option<i64>>(column).map(|at| at.map(Timestamp))
}

/// The sixteen bytes of an event's id.
pub(crate) fn event_id(row: &Row<'_>, column: impl Column) -> Result<EventId> {
    row.get(column).map(|bytes| EventId(Uuid::from_bytes(bytes)))
}

/// A JSON column that is looked into.
pub(crate) fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: impl Column) -> Result<T> {
    serde_json::from_str(text(row, column)?).map_err(|error| bad(row, column, error))
}

/// The same of a column that may be null.
pub(crate) fn maybe_json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: impl Column) -> Result<Option<T>> {
    let text = maybe_text(row, column)?;
    text.map(serde_json::from_str).transpose().map_err(|error| bad(row, column, error))
}

/// The columns of an event, which stand together in the same order in each statement that has them: `event_id`,
/// `source`, `type`, `subject`, `time`, `actor`, `root_id`, `parent_id`, `depth`, `traceparent` and `data`, from the place
/// of the first one on.
pub(crate) fn event(row: &Row<'_>, at: usize, app: AppName) -> Result<Event> {
    let source = Source::from_name(text(row, at + 1)?);
    Ok(Event {
        id: event_id(row, at)?,
        app,
        source: source.ok_or_else(|| bad(row, at + 1, "an unknown source"))?,
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

/// The same, found by the name of the first one.
pub(crate) fn named_event(row: &Row<'_>, app: AppName) -> Result<Event> {
    event(row, row.as_ref().column_index("event_id")?, app)
}

/// The columns of a retry policy, which stand together: `max_attempts`, `backoff`, `base_ms`, `max_ms`, `jitter` and
/// `max_age_ms`, from the place of the first one on.
pub(crate) fn policy(row: &Row<'_>, at: usize) -> Result<RetryPolicy> {
    let unsigned = |ms: i64| u64::try_from(ms).unwrap_or_default();
    let backoff = Backoff::from_name(text(row, at + 1)?);
    let spec = RetryPolicySpec {
        max_attempts: row.get(at)?,
        backoff: backoff.ok_or_else(|| bad(row, at + 1, "an unknown shape"))?,
        base_ms: unsigned(row.get(at + 2)?),
        max_ms: unsigned(row.get(at + 3)?),
        jitter: row.get(at + 4)?,
        max_age_ms: row.get::<_, Option<i64>>(at + 5)?.and_then(|ms| u64::try_from(ms).ok()),
    };
    RetryPolicy::try_from(spec).map_err(|error| bad(row, at, error))
}

/// The kind and name of a handler, if there is one.
pub(crate) fn handler(row: &Row<'_>) -> Result<Option<Handler>> {
    let (kind, handler_name) = (maybe_text(row, "handler_kind")?, maybe_text(row, "handler_name")?);
    Ok(kind.zip(handler_name).and_then(|(kind, name)| Handler::from_parts(kind, name)))
}

/// The attempts that failed so far.
pub(crate) fn failed(row: &Row<'_>) -> Result<Vec<Attempt>> {
    maybe_json(row, "failed").map(Option::unwrap_or_default)
}

/// `incarnation:seq`.
pub(crate) fn inbox(row: &Row<'_>, column: impl Column) -> Result<Option<InboxId>> {
    let text = maybe_text(row, column)?;
    text.map(str::parse).transpose().map_err(|error: &str| bad(row, column, error))
}
