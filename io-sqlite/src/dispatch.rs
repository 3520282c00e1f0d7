//! The requests of the dispatcher. Each one is a job of the writer, except a discovery, which only
//! reads.

use crate::claims::NamedClaims;
use crate::emit::Audience;
use crate::inline_claim::InlineClaims;
use crate::query::Query;
use crate::rows;
use crate::writer::Tx;
use crate::{SqliteStore, sql};
use rusqlite::{Row, params};
use std::collections::BTreeMap;
use tidegate_core::{
    AppName, Cause, Claim, CronExpression, DiscoverReply, EventType, Json, LaneState, Micros, NewEvent, PrincipalId,
    RenewReply, Reply, Request, Schedule, Source, StoreError, StoreErrorKind, Subject, SuspectLane, Tick, TickReply,
    TimeZone, TriggerId, TriggerName,
};
use tidegate_ports::{DispatchStore, PortError};

impl DispatchStore for SqliteStore {
    async fn call(&self, request: Request) -> Result<Reply, StoreError> {
        let result = match request {
            Request::Exchange { settle, claim, suspect, lease_for, claim_bytes_max } => {
                self.writer.write(move |tx| tx.exchange(settle, claim, suspect, claim_bytes_max, lease_for)).await
            }
            Request::BeginCalls { calls, lease_for } => {
                self.writer.write(move |tx| tx.begin_calls(calls, lease_for)).await
            }
            Request::Renew { held, lease_for } => self.writer.write(move |tx| tx.renew(held, lease_for)).await,
            Request::Tick { ticks } => self.writer.write(move |tx| tx.tick_all(ticks)).await,
            Request::Discover => self.discover().await,
        };
        result.map_err(|error| match error {
            PortError::Store(error) => error,
            other => StoreError::not_applied(StoreErrorKind::Unavailable, other.to_string()),
        })
    }
}

impl Tx<'_> {
    /// Extends whole claims: each claim that holds a row that `held` names with it.
    fn renew(&self, held: Vec<Claim>, lease_for: Micros) -> Result<Reply, PortError> {
        let until = self.now.plus(lease_for);
        let (mut claims, mut extended, mut fenced) = (NamedClaims::default(), BTreeMap::new(), Vec::new());
        for claim in held {
            let is_held = self.holds(&mut claims, claim)?;
            if is_held && !extended.contains_key(&claim.lease) {
                let changed = self.connection.run(sql::renew, [claim.lease.0, until.0, self.now.0])?;
                extended.insert(claim.lease, changed > 0);
            }
            if !is_held || extended.get(&claim.lease) != Some(&true) {
                fenced.push(claim);
            }
        }
        Ok(Reply::Renew(RenewReply { now: self.now, fenced }))
    }

    fn holds(&self, claims: &mut NamedClaims, claim: Claim) -> Result<bool, PortError> {
        let Some(stored) = claims.get(self, claim)? else { return Ok(false) };
        let Some(turn) = stored.turn_of(claim.delivery) else { return Ok(false) };
        Ok(stored.is_whole() || self.is_executed(claim.delivery, turn)?.is_some())
    }

    fn tick_all(&self, ticks: Vec<Tick>) -> Result<Reply, PortError> {
        let mut woken = Vec::new();
        for tick in ticks {
            let params = params![tick.trigger.0, tick.expected.map(|at| at.0), tick.next.0];
            let trigger: Option<(AppName, TriggerName)> = self
                .connection
                .maybe(sql::tick, params, |row| Ok((rows::name(row, "app")?, rows::name(row, "name")?)))?;
            let (Some((app, name)), Some(scheduled_at)) = (trigger, tick.expected) else { continue };
            let event = NewEvent {
                event_type: EventType::new("cron.tick").expect("the constant is valid"),
                subject: Subject::new(name.as_str()).expect("a trigger name is a valid subject"),
                data: Json::from(serde_json::json!({ "scheduled_at": scheduled_at.to_rfc3339() })),
            };
            let cause = Cause::outside(PrincipalId::new("system").expect("the constant is valid"));
            let audience = Audience { only: Some(tick.trigger), letter: None };
            woken.extend(self.fan_out(&app, Source::Cron, &event, &cause, audience, &mut InlineClaims::none())?.lanes);
        }
        Ok(Reply::Tick(TickReply { now: self.now, woken_lanes: woken }))
    }
}

impl SqliteStore {
    async fn discover(&self) -> Result<Reply, PortError> {
        // The dispatcher must not take a read for the end of an outage while writes fail.
        self.check_writes(true).await.map_err(PortError::Store)?;
        let now = self.writer.now();
        self.readers
            .read(move |connection| {
                let lanes = connection.all(sql::discover, (), lane_state)?;
                let suspects = connection.all(sql::suspects, [now.0], suspect_lane)?;
                let schedules = connection.all(sql::schedules, [now.0], schedule)?.into_iter().flatten().collect();
                Ok(Reply::Discover(DiscoverReply { now, lanes, suspects, schedules }))
            })
            .await
    }
}

fn lane_state(row: &Row<'_>) -> rusqlite::Result<LaneState> {
    Ok(LaneState {
        trigger: TriggerId(row.get("id")?),
        next_due: rows::time(row, "next_due")?,
        max_concurrency: row.get("max_concurrency")?,
    })
}

fn suspect_lane(row: &Row<'_>) -> rusqlite::Result<SuspectLane> {
    Ok(SuspectLane { trigger: TriggerId(row.get("trigger_id")?), next_due: rows::time(row, "next_due")? })
}

/// `None` for a schedule that does not parse: its trigger is invalid, and the others go on.
fn schedule(row: &Row<'_>) -> rusqlite::Result<Option<Schedule>> {
    let trigger = TriggerId(row.get("id")?);
    let next_tick = rows::maybe_time(row, "next_tick")?;
    let parsed = (rows::name::<CronExpression>(row, "expression"), rows::name::<TimeZone>(row, "time_zone"));
    let (Ok(expression), Ok(time_zone)) = parsed else { return Ok(None) };
    Ok(Some(Schedule { trigger, expression, time_zone, next_tick }))
}
