//! Sync calls: the row of a call is written leased to the daemon that begins the call.

use crate::emit::KEY_AGE_MAX;
use crate::lane::Lane;
use crate::query::Query;
use crate::rows;
use crate::sql;
use crate::writer::Tx;
use rusqlite::params;
use tidegate_core::{
    AppName, BeginCallsReply, Claim, Delivery, DeliveryId, EventId, HandlerReply, IdempotencyKey, Lease, Micros,
    Refusal, Reply, Standing, SyncCall, SyncReply, SyncTarget,
};
use tidegate_ports::PortError;
use uuid::Uuid;

/// The result of beginning a call.
enum BeginResult {
    Begun(Box<Delivery>),
    Refused(Refusal),
    Repeated(SyncReply),
}

/// A lane with the fields that only calls need.
struct CallLane {
    lane: Lane,
    timeout: Micros,
    paused: bool,
}

impl Tx<'_> {
    pub(crate) fn begin_calls(&self, calls: Vec<SyncCall>, lease_for: Micros) -> Result<Reply, PortError> {
        let (mut begun, mut refused, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
        for call in calls {
            match self.begin_call(&call, lease_for)? {
                BeginResult::Begun(delivery) => begun.push(*delivery),
                BeginResult::Refused(refusal) => refused.push((call.inbox, refusal)),
                BeginResult::Repeated(reply) => repeated.push((call.inbox, reply)),
            }
        }
        Ok(Reply::BeginCalls(BeginCallsReply { now: self.now, deliveries: begun, refused, repeated }))
    }

    fn begin_call(&self, call: &SyncCall, lease_for: Micros) -> Result<BeginResult, PortError> {
        let Some(found) = self.call_lane(&call.target)? else { return Ok(BeginResult::Refused(Refusal::Gone)) };
        if let Some(refusal) = found.refusal() {
            return Ok(BeginResult::Refused(refusal));
        }
        let lane = &found.lane;
        if let Some(limit) = lane.max_concurrency
            && self.slots_taken(lane.trigger)? >= limit
        {
            return Ok(BeginResult::Refused(Refusal::Busy));
        }
        if let Some(key) = &call.idempotency_key
            && let Some(known) = self.known_call(&lane.app, key)?
        {
            return Ok(known);
        }
        let begun = self.write_call(call, &found, lease_for)?;
        if lane.max_concurrency.is_some() {
            self.take_slots(lane.trigger, std::slice::from_ref(&begun))?;
        }
        if let Some(key) = &call.idempotency_key {
            let params = params![lane.app.as_str(), key.key, key.digest, begun.id.0, self.now.0];
            self.connection.run(sql::call_key_put, params)?;
        }
        Ok(BeginResult::Begun(Box::new(begun)))
    }

    /// The result for a call with a known idempotency key. `None` means that the call must begin.
    fn known_call(&self, app: &AppName, key: &IdempotencyKey) -> Result<Option<BeginResult>, PortError> {
        self.connection.run(sql::call_key_prune, [self.now.minus(KEY_AGE_MAX).0])?;
        let known = self.connection.maybe(sql::call_key_get, [app.as_str(), &key.key], |row| {
            let same = rows::text(row, "digest")? == key.digest;
            let reply: Option<HandlerReply> = rows::maybe_json(row, "reply")?;
            let runs: bool = row.get("runs")?;
            Ok((same, reply, DeliveryId(row.get("delivery_id")?), runs))
        })?;
        Ok(match known {
            None => None,
            Some((false, ..)) => Some(BeginResult::Refused(Refusal::KeyReused)),
            Some((true, Some(reply), delivery, _)) => {
                let execution = Some(Claim { delivery, lease: Lease(1) });
                Some(BeginResult::Repeated(SyncReply { execution, result: Ok(Some(reply)) }))
            }
            Some((true, None, _, true)) => Some(BeginResult::Refused(Refusal::KeyInUse)),
            Some((true, None, _, false)) => None,
        })
    }

    fn call_lane(&self, target: &SyncTarget) -> Result<Option<CallLane>, PortError> {
        let (trigger, app, script) = match target {
            SyncTarget::Trigger(id) => (Some(id.0), None, None),
            SyncTarget::Script { app, script, .. } => (None, Some(app.as_str()), Some(script.as_str())),
        };
        self.connection.maybe(sql::call_lane, params![trigger, app, script], |row| {
            Ok(CallLane {
                lane: Lane::read(row)?,
                timeout: rows::millis(row, "timeout_ms")?,
                paused: row.get("paused")?,
            })
        })
    }

    fn write_call(&self, call: &SyncCall, found: &CallLane, lease_for: Micros) -> Result<Delivery, PortError> {
        let (script, timeout) = match &call.target {
            SyncTarget::Trigger(_) => (None, found.timeout),
            SyncTarget::Script { script, timeout, .. } => (Some(script.as_str()), timeout.as_micros()),
        };
        let (event_id, cause) = (Uuid::now_v7(), &call.cause);
        let root_id = cause.parent.map_or(event_id, |parent| parent.root_id.0);
        let params = params![
            found.lane.trigger.0,
            self.now.0,
            self.now.plus(lease_for).0,
            timeout.as_millis() as i64,
            call.inbox.to_string(),
            script,
            event_id.as_bytes(),
            call.event.event_type.as_str(),
            call.event.subject.as_str(),
            cause.actor.as_str(),
            root_id.as_bytes(),
            cause.parent.map(|parent| *parent.parent_id.0.as_bytes()),
            cause.parent.map_or(0, |parent| parent.depth),
            cause.traceparent,
            call.event.data.as_str(),
            call.idempotency_key.as_ref().map(|key| key.key.as_str()),
        ];
        // The statement has no `returning`, because SQLite would build a temporary table for it at
        // each call.
        self.connection.run(sql::call_begin, params)?;
        let (id, event_id) = (DeliveryId(self.connection.last_insert_rowid()), EventId(event_id));
        Ok(call.delivery(found.lane.call_row(id, event_id, self.now, timeout)))
    }
}

impl CallLane {
    /// The reason to refuse all calls of this lane. The lane of invocations is always allowed,
    /// because the API has checked the permission of the caller.
    fn refusal(&self) -> Option<Refusal> {
        match self.lane.standing {
            _ if self.paused => Some(Refusal::Paused),
            Standing::Allowed => None,
            standing => Some(Refusal::Denied(standing)),
        }
    }
}
