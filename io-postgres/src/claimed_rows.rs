//! Decodes the rows that a claim returns: the claimed rows, and what many of them share: the
//! trigger of each claim, and the retry policies.

use crate::rows;
use serde::Deserialize;
use sqlx::postgres::PgRow;
use sqlx::{Column as _, Row};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_core::{
    AppName, DeadLetterId, Delivery, DeliveryId, Handler, Lease, Micros, PrincipalId, RetryPolicy, RetryPolicySpec,
    Standing, Timestamp, TriggerId, TriggerName,
};

/// The rows of one or more claims. The database sends the fields that many rows share only once, in
/// rows of their own, which may come after the rows that use them.
#[derive(Default)]
pub(crate) struct ClaimedRows<'r> {
    lanes: BTreeMap<i64, Lane>,
    policies: BTreeMap<i32, RetryPolicy>,
    claimed: Vec<&'r PgRow>,
}

impl<'r> ClaimedRows<'r> {
    /// Adds a row of the kind `lane`, `policy` or `claimed`.
    pub(crate) fn push(&mut self, kind: &str, row: &'r PgRow) -> Result<(), sqlx::Error> {
        match kind {
            "lane" => _ = self.lanes.insert(row.try_get("claim")?, Lane::from_row(row)?),
            "policy" => _ = self.policies.insert(row.try_get("policy_id")?, policy(row)?),
            _ => self.claimed.push(row),
        }
        Ok(())
    }

    /// The deliveries, and the first error of each row that cannot be decoded.
    pub(crate) fn deliveries(&self) -> impl Iterator<Item = Result<Arc<Delivery>, sqlx::Error>> {
        let columns = self.claimed.first().map(|row| Columns::of(row));
        let rows = self.claimed.iter().zip(columns.into_iter().cycle());
        rows.map(|(row, columns)| self.delivery(row, &columns).map(Arc::new))
    }

    fn delivery(&self, row: &PgRow, columns: &Columns) -> Result<Delivery, sqlx::Error> {
        let lease: i64 = row.try_get_unchecked(columns.claim)?;
        let lane = self.lanes.get(&lease).ok_or(sqlx::Error::RowNotFound)?;
        let policy = self.policies.get(&row.try_get_unchecked(columns.policy_id)?).ok_or(sqlx::Error::RowNotFound)?;
        let more: More = rows::maybe_parsed(row, columns.more)?.unwrap_or_default();
        let enqueued_at = rows::time(row, columns.enqueued_at)?;
        Ok(Delivery {
            id: DeliveryId(row.try_get_unchecked(columns.id)?),
            trigger_id: lane.trigger,
            trigger_name: lane.about.name.clone(),
            trigger_version: lane.about.version,
            event: rows::event(row, columns.event, lane.about.app.clone(), more.time.unwrap_or(enqueued_at))?,
            handler: lane.handler.clone(),
            script_version: lane.about.script_version,
            runs_as: lane.about.registered_by.clone(),
            standing: lane.standing,
            policy: *policy,
            timeout: Micros::from_millis(rows::count(row, columns.timeout_ms)?.into()),
            attempt: rows::count(row, columns.attempt)?,
            lost: more.lost,
            lease: Lease(lease),
            due_at: rows::time(row, columns.due_at)?,
            enqueued_at,
            redrive_generation: more.redrive_generation,
            reply_to: more.reply_to.as_deref().map(rows::inbox_of).transpose()?,
            handles_letter: more.handles_letter,
        })
    }
}

/// The places of the columns in a claimed row. They are looked up once per answer.
#[derive(Clone, Copy)]
struct Columns {
    id: usize,
    claim: usize,
    attempt: usize,
    due_at: usize,
    enqueued_at: usize,
    policy_id: usize,
    timeout_ms: usize,
    event: [usize; 3],
    more: usize,
}

impl Columns {
    /// A column that is missing gets a place behind all columns, so that reading it is an error.
    fn of(row: &PgRow) -> Self {
        let names: Vec<&str> = row.columns().iter().map(|column| column.name()).collect();
        let place = |name: &str| names.iter().position(|other| *other == name).unwrap_or(names.len());
        Self {
            id: place("id"),
            claim: place("claim"),
            attempt: place("attempt"),
            due_at: place("due_at"),
            enqueued_at: place("enqueued_at"),
            policy_id: place("policy_id"),
            timeout_ms: place("timeout_ms"),
            event: rows::EVENT.map(place),
            more: place("more"),
        }
    }
}

/// The rare fields of a claimed row.
#[derive(Default, Deserialize)]
#[serde(default)]
struct More {
    redrive_generation: u32,
    lost: u32,
    handles_letter: Option<DeadLetterId>,
    reply_to: Option<String>,
    time: Option<Timestamp>,
}

/// The lane of a claim: its trigger.
struct Lane {
    trigger: TriggerId,
    about: LaneJson,
    handler: Option<Handler>,
    standing: Standing,
}

#[derive(Deserialize)]
struct LaneJson {
    app: AppName,
    name: TriggerName,
    version: i64,
    registered_by: PrincipalId,
    standing: String,
    handler_kind: Option<String>,
    handler_name: Option<String>,
    script_version: Option<i64>,
}

impl Lane {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let about: LaneJson = rows::parsed(row, "more")?;
        let handler = about.handler_kind.as_deref().zip(about.handler_name.as_deref());
        Ok(Self {
            trigger: TriggerId(row.try_get("id")?),
            handler: handler.and_then(|(kind, name)| Handler::from_parts(kind, name)),
            standing: Standing::from_name(&about.standing),
            about,
        })
    }
}

fn policy(row: &PgRow) -> Result<RetryPolicy, sqlx::Error> {
    let spec: RetryPolicySpec = rows::parsed(row, "more")?;
    RetryPolicy::try_from(spec).map_err(|error| rows::bad("more", error))
}
