//! Sync calls: their rows are written already leased to who asks.

use crate::error::port;
use crate::exchange::delivery;
use crate::sql;
use crate::writer::{OrRefused, Tx};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use tidegate_core::{Delivery, Handler, Micros, Refusal, Reply, Standing, SyncCall, SyncTarget, TriggerId};
use tidegate_driver::PortError;
use uuid::Uuid;

impl Tx<'_> {
    pub(crate) async fn begin_calls(mut self, calls: Vec<SyncCall>, lease_for: Micros) -> Result<Reply, PortError> {
        let (mut begun, mut refused) = (Vec::new(), Vec::new());
        for call in calls {
            match self.begin_call(&call, lease_for).await? {
                Ok(delivery) => begun.push(delivery),
                Err(refusal) => refused.push((call.inbox, refusal)),
            }
        }
        Ok(Reply::Begin { now: self.now, begun, refused })
    }

    async fn begin_call(&mut self, call: &SyncCall, lease_for: Micros) -> Result<Result<Delivery, Refusal>, PortError> {
        let Some(lane) = self.call_lane(&call.target).await? else { return Ok(Err(Refusal::Gone)) };
        if lane.try_get("paused").map_err(port)? {
            return Ok(Err(Refusal::Paused));
        }
        match Standing::from_name(lane.try_get("standing").map_err(port)?) {
            Standing::Allowed => {}
            standing => return Ok(Err(Refusal::Denied(standing))),
        }
        let trigger = TriggerId(lane.try_get("id").map_err(port)?);
        let limit: Option<u32> = lane.try_get("max_concurrency").map_err(port)?;
        if let Some(limit) = limit
            && self.slots_taken(trigger).await? >= limit
        {
            return Ok(Err(Refusal::Busy));
        }
        let row = self.write_call(call, trigger, &lane, lease_for).await?;
        let mut begun = delivery(&row, &lane, trigger).map_err(port)?;
        if let SyncTarget::Script { script, .. } = &call.target {
            begun.handler = Some(Handler::Script(script.clone()));
            begun.runs_as = call.cause.actor.clone();
        }
        if limit.is_some() {
            self.take_slots(trigger, std::slice::from_ref(&begun)).await?;
        }
        Ok(Ok(begun))
    }

    async fn call_lane(&mut self, target: &SyncTarget) -> Result<Option<SqliteRow>, PortError> {
        let query = match target {
            SyncTarget::Trigger(id) => sqlx::query(sql::call_lane).bind(id.0).bind(None::<String>).bind(None::<String>),
            SyncTarget::Script { app, script, .. } => {
                sqlx::query(sql::call_lane).bind(None::<i64>).bind(app.to_string()).bind(script.to_string())
            }
        };
        query.fetch_optional(&mut *self.connection).await.or_refused()
    }

    async fn write_call(
        &mut self,
        call: &SyncCall,
        trigger: TriggerId,
        lane: &SqliteRow,
        lease_for: Micros,
    ) -> Result<SqliteRow, PortError> {
        let (script, timeout_ms) = match &call.target {
            SyncTarget::Trigger(_) => (None, lane.try_get("timeout_ms").map_err(port)?),
            SyncTarget::Script { script, timeout, .. } => (Some(script.as_str()), timeout.get() as i64),
        };
        let (event_id, cause) = (Uuid::now_v7(), &call.cause);
        sqlx::query(sql::call_begin)
            .bind(trigger.0)
            .bind(self.now.0)
            .bind(self.now.plus(lease_for).0)
            .bind(timeout_ms)
            .bind(call.inbox.to_string())
            .bind(script)
            .bind(event_id)
            .bind(call.event.event_type.as_str())
            .bind(call.event.subject.as_str())
            .bind(cause.actor.as_str())
            .bind(cause.parent.map_or(event_id, |parent| parent.root_id.0))
            .bind(cause.parent.map(|parent| parent.parent_id.0))
            .bind(cause.parent.map_or(0, |parent| parent.depth))
            .bind(cause.traceparent.as_deref())
            .bind(call.event.data.as_str())
            .fetch_one(&mut *self.connection)
            .await
            .or_refused()
    }
}
