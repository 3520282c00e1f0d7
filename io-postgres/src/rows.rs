//! Decodes columns into the core's types.

use crate::time::PgTime;
use serde::Deserialize;
use sqlx::postgres::PgRow;
use sqlx::{ColumnIndex, Row};
use std::fmt::Display;
use std::str::FromStr;
use tidegate_core::{
    AppName, Attempt, Event, EventId, EventType, Handler, HandlerReply, InboxId, Json, PrincipalId, Source, Subject,
    Timestamp,
};
use tidegate_ports::Page;
use uuid::Uuid;

/// A column: its name, or its place in the row. A place saves the lookup of the name.
pub(crate) trait Column: ColumnIndex<PgRow> + Display + Copy {}

impl Column for &str {}
impl Column for usize {}

/// The error for a column whose value Tidegate cannot have written.
pub(crate) fn bad(column: impl Display, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_string(), source: error.into() }
}

/// Parses a text column into a name.
pub(crate) fn name<T>(row: &PgRow, column: impl Column) -> Result<T, sqlx::Error>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    row.try_get::<&str, _>(column)?.parse().map_err(|error| bad(column, error))
}

pub(crate) fn time(row: &PgRow, column: impl Column) -> Result<Timestamp, sqlx::Error> {
    row.try_get::<PgTime, _>(column).map(|time| time.0)
}

pub(crate) fn count(row: &PgRow, column: impl Column) -> Result<u32, sqlx::Error> {
    row.try_get::<i32, _>(column).map(|count| u32::try_from(count).unwrap_or_default())
}

/// Parses a JSON column that is selected as text.
pub(crate) fn json<T: serde::de::DeserializeOwned>(row: &PgRow, column: impl Column) -> Result<T, sqlx::Error> {
    serde_json::from_str(row.try_get::<&str, _>(column)?).map_err(|error| bad(column, error))
}

/// Parses a JSON column that is selected as text and may be null.
pub(crate) fn maybe_json<T: serde::de::DeserializeOwned>(
    row: &PgRow,
    column: impl Column,
) -> Result<Option<T>, sqlx::Error> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(serde_json::from_str).transpose().map_err(|error| bad(column, error))
}

/// Parses a column of the type `json`.
pub(crate) fn parsed<T: serde::de::DeserializeOwned>(row: &PgRow, column: impl Column) -> Result<T, sqlx::Error> {
    let text: &str = row.try_get_unchecked(column)?;
    serde_json::from_str(text).map_err(|error| bad(column, error))
}

/// Parses a column of the type `json` that may be null.
pub(crate) fn maybe_parsed<T: serde::de::DeserializeOwned>(
    row: &PgRow,
    column: impl Column,
) -> Result<Option<T>, sqlx::Error> {
    let text: Option<&str> = row.try_get_unchecked(column)?;
    text.map(serde_json::from_str).transpose().map_err(|error| bad(column, error))
}

/// Parses the stored reply of a call.
pub(crate) fn reply(row: &PgRow) -> Result<HandlerReply, sqlx::Error> {
    let text: String = row.try_get_unchecked("reply")?;
    serde_json::from_str(&text).map_err(|error| bad("reply", error))
}

/// A number of bytes as a parameter.
pub(crate) fn bytes(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The page that a list selected. `found` of each row is the number of rows before the page was
/// cut.
pub(crate) fn page<T>(rows: &[PgRow], read: impl Fn(&PgRow) -> Result<T, sqlx::Error>) -> Result<Page<T>, sqlx::Error> {
    let found: i64 = rows.first().map_or(Ok(0), |row| row.try_get("found"))?;
    let items: Vec<T> = rows.iter().map(read).collect::<Result<_, _>>()?;
    Ok(Page { has_more: found > items.len() as i64, items })
}

/// The head of an event, as `tidegate.event_head` writes it: a JSON array.
#[derive(Deserialize)]
struct EventHead {
    source: Source,
    event_type: EventType,
    subject: Subject,
    actor: PrincipalId,
    #[serde(default)]
    chain: Chain,
}

/// The place of an event in a chain, and its trace context. An event from outside has none.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Chain {
    root: Option<EventId>,
    parent: Option<EventId>,
    depth: u32,
    traceparent: Option<String>,
}

/// The names of the columns of an event: its id, its head and its data.
pub(crate) const EVENT: [&str; 3] = ["event_id", "event", "data"];

/// Decodes the columns of an event. `data` is selected as text or as `json`; in both forms it is
/// the emitted text.
pub(crate) fn event(
    row: &PgRow,
    [id, head, data]: [impl Column; 3],
    app: AppName,
    time: Timestamp,
) -> Result<Event, sqlx::Error> {
    let id = row.try_get::<Uuid, _>(id).map(EventId)?;
    let head: EventHead = json(row, head)?;
    let Chain { root, parent, depth, traceparent } = head.chain;
    Ok(Event {
        id,
        app,
        source: head.source,
        event_type: head.event_type,
        subject: head.subject,
        time,
        data: Json::from_store(row.try_get_unchecked(data)?),
        actor: head.actor,
        root_id: root.unwrap_or(id),
        parent_id: parent,
        depth,
        traceparent,
    })
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
pub(crate) fn inbox_of(text: &str) -> Result<InboxId, sqlx::Error> {
    text.parse().map_err(|error: &str| bad("reply_to", error))
}
