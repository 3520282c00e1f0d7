//! The dispatcher's requests, each one job of the writer; discovery only reads.

use crate::emit::Audience;
use crate::error::{port, refused};
use crate::rows;
use crate::writer::{OrRefused, Tx};
use crate::{SqliteStore, sql};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use tidegate_core::{
    Cause, Claim, CronExpression, DeliveryId, EventType, Json, LaneState, Lease, Micros, NewEvent, PrincipalId, Reply,
    Request, Schedule, Source, StoreError, Subject, Tick, TimeZone, Timestamp, TriggerId, TriggerName,
};
use tidegate_driver::{DispatchStore, PortError};

impl DispatchStore for SqliteStore {
    async fn call(&self, request: Request) -> Result<Reply, StoreError> {
        let result = match request {
            Request::Exchange { settle, claim, lease_for } => {
                self.writer.write(move |tx| Box::pin(tx.exchange(settle, claim, lease_for))).await
            }
            Request::Begin { calls, lease_for } => {
                self.writer.write(move |tx| Box::pin(tx.begin_calls(calls, lease_for))).await
            }
            Request::Renew { held, lease_for } => {
                self.writer.write(move |tx| Box::pin(renew(tx, held, lease_for))).await
            }
            Request::Tick { ticks } => self.writer.write(move |tx| Box::pin(tick_all(tx, ticks))).await,
            Request::Discover => self.discover().await,
        };
        result.map_err(|error| match error {
            PortError::Store(error) => error,
            other => refused(&sqlx::Error::Protocol(other.to_string())),
        })
    }
}

async fn renew(tx: Tx<'_>, held: Vec<Claim>, lease_for: Micros) -> Result<Reply, PortError> {
    let renewed: std::collections::BTreeSet<Claim> = sqlx::query(sql::renew)
        .bind(pairs(&held))
        .bind(tx.now.plus(lease_for).0)
        .fetch_all(&mut *tx.connection)
        .await
        .or_refused()?
        .iter()
        .map(claim_of)
        .collect::<Result<_, _>>()
        .map_err(port)?;
    let fenced = held.into_iter().filter(|claim| !renewed.contains(claim)).collect();
    Ok(Reply::Renew { now: tx.now, fenced })
}

async fn tick_all(mut tx: Tx<'_>, ticks: Vec<Tick>) -> Result<Reply, PortError> {
    let mut woken = Vec::new();
    for tick in ticks {
        let taken = sqlx::query(sql::tick)
            .bind(tick.trigger.0)
            .bind(tick.expected.map(|at| at.0))
            .bind(tick.next.0)
            .fetch_optional(&mut *tx.connection)
            .await
            .or_refused()?;
        let (Some(row), Some(scheduled_at)) = (taken, tick.expected) else { continue };
        let name: TriggerName = rows::name(&row, "name").map_err(port)?;
        let event = NewEvent {
            event_type: EventType::new("cron.tick").expect("a constant within the rule"),
            subject: Subject::new(name.as_str()).expect("a trigger's name fits into a subject"),
            data: Json::from(serde_json::json!({ "scheduled_at": scheduled_at.to_rfc3339() })),
        };
        let cause = Cause::outside(PrincipalId::new("system").expect("a constant within the rule"));
        let app = rows::name(&row, "app").map_err(port)?;
        let audience = Audience { only: Some(tick.trigger), letter: None };
        woken.extend(tx.fan_out(&app, Source::Cron, &event, &cause, audience).await?.woken);
    }
    Ok(Reply::Tick { now: tx.now, woken })
}

impl SqliteStore {
    async fn discover(&self) -> Result<Reply, PortError> {
        let now = self.writer.now();
        let mut reader = self.readers.acquire().await.or_refused()?;
        let lanes = sqlx::query(sql::discover).bind(now.0).fetch_all(&mut *reader).await.or_refused()?;
        let schedules = sqlx::query(sql::schedules).bind(now.0).fetch_all(&mut *reader).await.or_refused()?;
        Ok(Reply::Discover {
            now,
            lanes: lanes.iter().map(lane_state).collect::<Result<_, _>>().map_err(port)?,
            schedules: schedules.iter().map(schedule).collect::<Result<_, _>>().map_err(port)?,
        })
    }
}

fn lane_state(row: &SqliteRow) -> Result<LaneState, sqlx::Error> {
    Ok(LaneState {
        trigger: TriggerId(row.try_get("id")?),
        next_due: rows::time(row, "next_due")?,
        max_concurrency: row.try_get("max_concurrency")?,
    })
}

fn schedule(row: &SqliteRow) -> Result<Schedule, sqlx::Error> {
    Ok(Schedule {
        trigger: TriggerId(row.try_get("id")?),
        expression: rows::name::<CronExpression>(row, "expression")?,
        time_zone: rows::name::<TimeZone>(row, "time_zone")?,
        next_tick: row.try_get::<Option<i64>, _>("next_tick")?.map(Timestamp),
    })
}

pub(crate) fn claim_of(row: &SqliteRow) -> Result<Claim, sqlx::Error> {
    Ok(Claim { delivery: DeliveryId(row.try_get("id")?), lease: Lease(row.try_get("lease")?) })
}

/// Claims as a JSON array of pairs, for `json_each`.
pub(crate) fn pairs<'a>(claims: impl IntoIterator<Item = &'a Claim>) -> String {
    let pairs: Vec<(i64, i64)> = claims.into_iter().map(|claim| (claim.delivery.0, claim.lease.0)).collect();
    serde_json::json!(pairs).to_string()
}
