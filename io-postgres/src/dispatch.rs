//! The dispatcher's requests. Each request is one call of one SQL function.

use crate::calls::begin_calls;
use crate::claimed_rows::ClaimedRows;
use crate::error::store;
use crate::settlements::Settlements;
use crate::time::{PgTime, micros};
use crate::{PgStore, rows, sql};
use sqlx::postgres::PgRow;
use sqlx::{Column, PgConnection, Row};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_core::{
    Attempt, Claim, Delivery, DeliveryId, DiscoverReply, ExchangeReply, LaneQuota, LaneState, Lease, Micros,
    RenewReply, Reply, Request, Schedule, Settlement, StoreError, SuspectClaim, SuspectLane, Tick, TickReply,
    Timestamp, TriggerId,
};
use tidegate_ports::DispatchStore;

impl DispatchStore for PgStore {
    async fn call(&self, request: Request) -> Result<Reply, StoreError> {
        // A discovery may succeed while nothing can be written.
        match request {
            Request::Discover => self.pool.read(self.call_once(request)).await,
            request => self.pool.write(self.call_once(request)).await,
        }
    }
}

impl PgStore {
    async fn call_once(&self, request: Request) -> Result<Reply, StoreError> {
        let mut pooled = self.connection().await?;
        let connection = &mut *pooled;
        let result = match request {
            Request::Exchange { settle, claim, suspect, lease_for, claim_bytes_max } => {
                exchange(connection, &settle, (&claim, suspect, claim_bytes_max), lease_for).await
            }
            Request::BeginCalls { calls, lease_for } => begin_calls(connection, &calls, lease_for).await,
            Request::Renew { held, lease_for } => renew(connection, &held, lease_for).await,
            Request::Discover => discover(connection).await,
            Request::Tick { ticks } => tick(connection, ticks).await,
        };
        let reply = pooled.finish(result).map_err(store)?;
        if let Reply::Exchange(ExchangeReply { woken_lanes: woken, .. })
        | Reply::Tick(TickReply { woken_lanes: woken, .. }) = &reply
        {
            self.notifier.notify(woken.iter().copied());
        }
        Ok(reply)
    }
}

async fn exchange(
    connection: &mut PgConnection,
    settle: &[Settlement],
    (claim, suspect, claim_bytes_max): (&[LaneQuota], Option<SuspectClaim>, u64),
    lease_for: Micros,
) -> Result<Reply, sqlx::Error> {
    let settlements = Settlements::of(settle);
    let rows = sqlx::query(sql::exchange)
        .bind(&settlements.done_ids)
        .bind(&settlements.done_leases)
        .bind(&settlements.call_ids)
        .bind(&settlements.call_leases)
        .bind(&settlements.outcomes)
        .bind(settlements.others.map(sqlx::types::Json))
        .bind(claim.iter().map(|quota| quota.trigger.0).collect::<Vec<_>>())
        .bind(claim.iter().map(|quota| rows_of(quota.quota)).collect::<Vec<_>>())
        .bind(claim.iter().map(|quota| rows_of(quota.starts)).collect::<Vec<_>>())
        .bind(claim.iter().map(|quota| PgTime(quota.look_back)).collect::<Vec<_>>())
        .bind(micros(lease_for))
        .bind(rows::bytes(claim_bytes_max))
        .bind(suspect.map(|claim| claim.trigger.0))
        .bind(suspect.map(|claim| rows_of(claim.quota)))
        .bind(suspect.map(|claim| micros(claim.backoff)))
        .bind(Attempt::LOST_MESSAGE)
        .bind(Attempt::NEVER_BEGAN_MESSAGE)
        .fetch_all(connection)
        .await?;
    let (mut now, mut suspects_claim, mut is_cut) = (None, None, false);
    let (mut fenced, mut conflicted, mut claimed, mut woken) = (vec![], vec![], ClaimedRows::default(), vec![]);
    let kind = rows.first().map(|row| row.try_column("kind").map(Column::ordinal)).transpose()?.unwrap_or_default();
    for row in &rows {
        match row.try_get_unchecked(kind)? {
            "now" => now = now.or(Some(rows::time(row, "due_at")?)),
            "fenced" => fenced.push(claim_of(row)?),
            "conflicted" => conflicted.push(claim_of(row)?),
            "woken" => woken.push(TriggerId(row.try_get("id")?)),
            "cut" => is_cut = true,
            "suspects" => suspects_claim = Some(Lease(row.try_get("claim")?)),
            kind => claimed.push(kind, row)?,
        }
    }
    // The rows come in the order of their places, which is this order for rows of a new table. The
    // suspects are the last ones.
    let places: BTreeMap<_, _> = claim.iter().enumerate().map(|(n, quota)| (quota.trigger, n)).collect();
    let is_suspect = |row: &Delivery| Some(row.lease) == suspects_claim;
    let order = |row: &Arc<Delivery>| (is_suspect(row), places.get(&row.trigger_id).copied(), row.due_at, row.id);
    let mut claimed = claimed.deliveries().collect::<Result<Vec<_>, _>>()?;
    if !claimed.is_sorted_by_key(order) {
        claimed.sort_by_cached_key(order);
    }
    let suspects = claimed.iter().rev().take_while(|row| is_suspect(row)).count() as u32;
    let now = now.ok_or(sqlx::Error::RowNotFound)?;
    Ok(Reply::Exchange(ExchangeReply { now, fenced, conflicted, claimed, suspects, is_cut, woken_lanes: woken }))
}

/// A number of rows as a parameter.
fn rows_of(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

async fn renew(connection: &mut PgConnection, held: &[Claim], lease_for: Micros) -> Result<Reply, sqlx::Error> {
    let rows = sqlx::query(sql::renew)
        .bind(held.iter().map(|claim| claim.delivery.0).collect::<Vec<_>>())
        .bind(held.iter().map(|claim| claim.lease.0).collect::<Vec<_>>())
        .bind(micros(lease_for))
        .fetch_all(connection)
        .await?;
    let (now, rest) = split_time(&rows)?;
    Ok(Reply::Renew(RenewReply { now, fenced: rest.iter().map(claim_of).collect::<Result<_, _>>()? }))
}

async fn discover(connection: &mut PgConnection) -> Result<Reply, sqlx::Error> {
    let rows = sqlx::query(sql::discover).fetch_all(connection).await?;
    let (now, rest) = split_time(&rows)?;
    let (mut lanes, mut suspects, mut schedules) = (vec![], vec![], vec![]);
    for row in rest {
        let trigger = TriggerId(row.try_get("trigger_id")?);
        if let Some(next_due) = row.try_get::<Option<PgTime>, _>("next_due")? {
            let max_concurrency = row.try_get::<Option<i32>, _>("max_concurrency")?;
            let max_concurrency = max_concurrency.and_then(|limit| u32::try_from(limit).ok());
            lanes.push(LaneState { trigger, next_due: next_due.0, max_concurrency });
        } else if let Some(due) = row.try_get::<Option<PgTime>, _>("suspect_due")? {
            suspects.push(SuspectLane { trigger, next_due: due.0 });
        } else {
            let next_tick = row.try_get::<Option<PgTime>, _>("next_tick")?.map(|time| time.0);
            // A schedule that does not parse is left out: its trigger is invalid, and the others go
            // on.
            if let (Ok(expression), Ok(time_zone)) = (rows::name(row, "expression"), rows::name(row, "time_zone")) {
                schedules.push(Schedule { trigger, expression, time_zone, next_tick });
            }
        }
    }
    Ok(Reply::Discover(DiscoverReply { now, lanes, suspects, schedules }))
}

async fn tick(connection: &mut PgConnection, mut ticks: Vec<Tick>) -> Result<Reply, sqlx::Error> {
    // Rows of triggers are locked in the order of their ids.
    ticks.sort_unstable_by_key(|tick| tick.trigger);
    let data = |tick: &Tick| tick.expected.map(|at| serde_json::json!({ "scheduled_at": at.to_rfc3339() }).to_string());
    let rows = sqlx::query(sql::tick)
        .bind(ticks.iter().map(|tick| tick.trigger.0).collect::<Vec<_>>())
        .bind(ticks.iter().map(|tick| tick.expected.map(PgTime)).collect::<Vec<_>>())
        .bind(ticks.iter().map(|tick| PgTime(tick.next)).collect::<Vec<_>>())
        .bind(ticks.iter().map(data).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    let (now, rest) = split_time(&rows)?;
    let woken = rest.iter().map(|row| row.try_get("trigger_id").map(TriggerId)).collect::<Result<_, _>>()?;
    Ok(Reply::Tick(TickReply { now, woken_lanes: woken }))
}

/// Splits off the first row, which contains only the store's time.
fn split_time(rows: &[PgRow]) -> Result<(Timestamp, &[PgRow]), sqlx::Error> {
    let (first, rest) = rows.split_first().ok_or(sqlx::Error::RowNotFound)?;
    Ok((rows::time(first, "now")?, rest))
}

pub(crate) fn claim_of(row: &PgRow) -> Result<Claim, sqlx::Error> {
    Ok(Claim { delivery: DeliveryId(row.try_get("id")?), lease: Lease(row.try_get("claim")?) })
}
