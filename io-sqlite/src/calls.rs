//! Sync calls: the row of a call is claimed when it is written, for the daemon that begins the
//! call. The calls of a request that have the same lane have the same claim.

use crate::claims::ClaimedRow;
use crate::emit::KEY_AGE_MAX;
use crate::lane::Lane;
use crate::query::Query;
use crate::rows;
use crate::sql;
use crate::writer::Tx;
use rusqlite::params;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_core::{
    AppName, BeginCallsReply, Claim, Delivery, DeliveryId, EventId, HandlerReply, IdempotencyKey, Lease, Micros,
    Refusal, Reply, Standing, SyncCall, SyncReply, SyncTarget, TriggerId,
};
use tidegate_ports::PortError;
use uuid::Uuid;

/// The result of beginning a call.
enum BeginResult {
    /// The row was written. Its delivery is in the claim of its lane.
    Begun,
    Refused(Refusal),
    Repeated(SyncReply),
}

/// The claim of each lane that got rows: its number and its rows.
type CallClaims = BTreeMap<TriggerId, (Lease, Vec<ClaimedRow>)>;

/// A lane with the fields that only calls need.
struct CallLane {
    lane: Lane,
    timeout: Micros,
    paused: bool,
}

impl Tx<'_> {
    pub(crate) fn begin_calls(&self, calls: Vec<SyncCall>, lease_for: Micros) -> Result<Reply, PortError> {
        let (mut claims, mut refused, mut repeated) = (CallClaims::new(), Vec::new(), Vec::new());
        for call in calls {
            match self.begin_call(&call, &mut claims)? {
                BeginResult::Begun => {}
                BeginResult::Refused(refusal) => refused.push((call.inbox, refusal)),
                BeginResult::Repeated(reply) => repeated.push((call.inbox, reply)),
            }
        }
        for (trigger, (_, rows)) in &claims {
            self.add_claim(*trigger, rows, rows.len() as u32, lease_for)?;
        }
        let rows = claims.into_values().flat_map(|(_, rows)| rows);
        let mut deliveries: Vec<Arc<Delivery>> = rows.map(|row| row.delivery).collect();
        // The order of the calls is the order in which their rows were written.
        deliveries.sort_unstable_by_key(|delivery| delivery.id);
        Ok(Reply::BeginCalls(BeginCallsReply { now: self.now, deliveries, refused, repeated }))
    }

    fn begin_call(&self, call: &SyncCall, claims: &mut CallClaims) -> Result<BeginResult, PortError> {
        let Some(found) = self.call_lane(&call.target)? else { return Ok(BeginResult::Refused(Refusal::Gone)) };
        if let Some(refusal) = found.refusal() {
            return Ok(BeginResult::Refused(refusal));
        }
        let lane = &found.lane;
        let begun = claims.get(&lane.trigger).map_or(0, |(_, rows)| rows.len() as u32);
        if let Some(limit) = lane.max_concurrency
            && self.slots_taken(lane.trigger)?.saturating_add(begun) >= limit
        {
            return Ok(BeginResult::Refused(Refusal::Busy));
        }
        if let Some(key) = &call.idempotency_key
            && let Some(known) = self.known_call(&lane.app, key)?
        {
            return Ok(known);
        }
        let (lease, rows) = claims.entry(lane.trigger).or_insert_with(|| (self.new_lease(), Vec::new()));
        let delivery = Arc::new(self.write_call(call, &found, *lease)?);
        if let Some(key) = &call.idempotency_key {
            let params = params![lane.app.as_str(), key.key, key.digest, delivery.id.0, lease.0, self.now.0];
            self.connection.run(sql::call_key_put, params)?;
        }
        rows.push(ClaimedRow { delivery, turn: 0, has_slot: true });
        Ok(BeginResult::Begun)
    }

    /// The result for a call with a known idempotency key. `None` means that the call must begin.
    fn known_call(&self, app: &AppName, key: &IdempotencyKey) -> Result<Option<BeginResult>, PortError> {
        self.connection.run(sql::call_key_prune, [self.now.minus(KEY_AGE_MAX).0])?;
        let known = self.connection.maybe(sql::call_key_get, [app.as_str(), &key.key], |row| {
            let same = rows::text(row, "digest")? == key.digest;
            let reply: Option<HandlerReply> = rows::maybe_json(row, "reply")?;
            let runs: bool = row.get("runs")?;
            let execution = Claim { delivery: DeliveryId(row.get("delivery_id")?), lease: Lease(row.get("lease")?) };
            Ok((same, reply, execution, runs))
        })?;
        Ok(match known {
            None => None,
            Some((false, ..)) => Some(BeginResult::Refused(Refusal::KeyReused)),
            Some((true, Some(reply), execution, _)) => {
                Some(BeginResult::Repeated(SyncReply { execution: Some(execution), result: Ok(Some(reply)) }))
            }
            Some((true, None, _, true)) => Some(BeginResult::Refused(Refusal::KeyInUse)),
            Some((true, None, _, false)) => None,
        })
    }

    fn call_lane(&self, target: &SyncTarget) -> Result<Option<CallLane>, PortError> {
        let (trigger, app, script) = match target {
            SyncTarget::Trigger { id, .. } => (Some(id.0), None, None),
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

    fn write_call(&self, call: &SyncCall, found: &CallLane, lease: Lease) -> Result<Delivery, PortError> {
        let (script, timeout) = match &call.target {
            SyncTarget::Trigger { .. } => (None, found.timeout),
            SyncTarget::Script { script, timeout, .. } => (Some(script.as_str()), timeout.as_micros()),
        };
        let (event_id, cause) = (Uuid::now_v7(), &call.cause);
        let root_id = cause.parent.map_or(event_id, |parent| parent.root_id.0);
        let params = params![
            found.lane.trigger.0,
            self.now.0,
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
        let delivery = call.delivery(found.lane.call_row(id, event_id, self.now, timeout));
        Ok(Delivery { lease, ..delivery })
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
