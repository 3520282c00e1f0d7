//! Sync calls: their rows are written already leased to who asks.

use crate::emit::KEY_AGE_MAX;
use crate::error::port;
use crate::exchange::delivery;
use crate::rows;
use crate::sql;
use crate::writer::{OrRefused, Tx};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use tidegate_core::{
    Claim, Delivery, DeliveryId, Handler, HandlerReply, IdempotencyKey, Lease, Micros, Refusal, Reply, Standing,
    SyncCall, SyncReply, SyncTarget, TriggerId,
};
use tidegate_driver::PortError;
use uuid::Uuid;

/// What became of a call.
enum Begun {
    Row(Box<Delivery>),
    Refused(Refusal),
    Repeated(SyncReply),
}

impl Tx<'_> {
    pub(crate) async fn begin_calls(mut self, calls: Vec<SyncCall>, lease_for: Micros) -> Result<Reply, PortError> {
        let (mut begun, mut refused, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
        for call in calls {
            match self.begin_call(&call, lease_for).await? {
                Begun::Row(delivery) => begun.push(*delivery),
                Begun::Refused(refusal) => refused.push((call.inbox, refusal)),
                Begun::Repeated(reply) => repeated.push((call.inbox, reply)),
            }
        }
        Ok(Reply::Begin { now: self.now, begun, refused, repeated })
    }

    async fn begin_call(&mut self, call: &SyncCall, lease_for: Micros) -> Result<Begun, PortError> {
        let Some(lane) = self.call_lane(&call.target).await? else { return Ok(Begun::Refused(Refusal::Gone)) };
        if let Some(refusal) = refusal(&lane).map_err(port)? {
            return Ok(Begun::Refused(refusal));
        }
        let trigger = TriggerId(lane.try_get("id").map_err(port)?);
        let limit: Option<u32> = lane.try_get("max_concurrency").map_err(port)?;
        if let Some(limit) = limit
            && self.slots_taken(trigger).await? >= limit
        {
            return Ok(Begun::Refused(Refusal::Busy));
        }
        let app: String = lane.try_get("app").map_err(port)?;
        if let Some(key) = &call.idempotency_key
            && let Some(known) = self.known_call(&app, key).await?
        {
            return Ok(known);
        }
        let row = self.write_call(call, trigger, &lane, lease_for).await?;
        let mut begun = delivery(&row, &lane, trigger).map_err(port)?;
        if let SyncTarget::Script { script, .. } = &call.target {
            begun.handler = Some(Handler::Script(script.clone()));
            begun.runs_as = call.cause.actor.clone();
            begun.standing = Standing::Allowed;
        }
        if limit.is_some() {
            self.take_slots(trigger, std::slice::from_ref(&begun)).await?;
        }
        if let Some(key) = &call.idempotency_key {
            let query = sqlx::query(sql::call_key_put).bind(app).bind(&key.key).bind(&key.digest);
            let query = query.bind(begun.id.0).bind(self.now.0);
            query.execute(&mut *self.connection).await.or_refused()?;
        }
        Ok(Begun::Row(Box::new(begun)))
    }

    /// What a call is answered with by its key, unless it is to be made.
    async fn known_call(&mut self, app: &str, key: &IdempotencyKey) -> Result<Option<Begun>, PortError> {
        let prune = sqlx::query(sql::call_key_prune).bind(self.now.minus(KEY_AGE_MAX).0);
        prune.execute(&mut *self.connection).await.or_refused()?;
        let query = sqlx::query(sql::call_key_get).bind(app.to_owned()).bind(&key.key);
        let Some(known) = query.fetch_optional(&mut *self.connection).await.or_refused()? else { return Ok(None) };
        let digest: String = known.try_get("digest").map_err(port)?;
        let reply: Option<HandlerReply> = rows::maybe_json(&known, "reply").map_err(port)?;
        let delivery = DeliveryId(known.try_get("delivery_id").map_err(port)?);
        Ok(match reply {
            _ if digest != key.digest => Some(Begun::Refused(Refusal::KeyReused)),
            Some(reply) => {
                let execution = Some(Claim { delivery, lease: Lease(1) });
                Some(Begun::Repeated(SyncReply { execution, result: Ok(Some(reply)) }))
            }
            None if known.try_get("runs").map_err(port)? => Some(Begun::Refused(Refusal::KeyInUse)),
            None => None,
        })
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
            .bind(call.idempotency_key.as_ref().map(|key| key.key.as_str()))
            .fetch_one(&mut *self.connection)
            .await
            .or_refused()
    }
}

/// Why nothing of this lane is begun, if nothing is. An invocation runs as its caller, whom the API has asked.
fn refusal(lane: &SqliteRow) -> Result<Option<Refusal>, sqlx::Error> {
    if lane.try_get("paused")? {
        return Ok(Some(Refusal::Paused));
    }
    Ok(match Standing::from_name(lane.try_get("standing")?) {
        Standing::Allowed => None,
        standing => Some(Refusal::Denied(standing)),
    })
}
