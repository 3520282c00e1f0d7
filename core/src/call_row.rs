//! The delivery of a sync call. Most of its fields come from the call. The store sets the other
//! fields when it writes the row.

use crate::delivery::Delivery;
use crate::event::{Cause, Event, NewEvent, Source};
use crate::names::{AppName, DeliveryId, EventId, Lease, PrincipalId, TriggerId, TriggerName};
use crate::principal::Standing;
use crate::retry_policy::RetryPolicy;
use crate::sync::{SyncCall, SyncTarget};
use crate::time::{Micros, Timestamp};
use crate::trigger::Handler;

/// The fields of a sync call's delivery that the store sets: those of its row and of its lane.
#[derive(Clone, Debug)]
pub struct CallRow {
    /// The id of the row.
    pub id: DeliveryId,
    /// The number of the claim. All calls that one request writes to a lane are one claim.
    pub lease: Lease,
    pub event_id: EventId,
    /// The store's clock when it writes the row.
    pub now: Timestamp,
    /// The timeout of the execution.
    pub timeout: Micros,
    /// The trigger of the lane. The fields below describe its current state.
    pub trigger_id: TriggerId,
    pub app: AppName,
    pub trigger_name: TriggerName,
    pub trigger_version: i64,
    /// The handler of the trigger. An invocation does not use it.
    pub handler: Option<Handler>,
    /// The version of the script. `None` for a missing script and for other handlers.
    pub script_version: Option<i64>,
    /// The principal that registered the trigger. An invocation does not use it.
    pub registered_by: PrincipalId,
}

impl SyncCall {
    /// The delivery of this call: the first and only attempt, under the claim with which the row
    /// was written.
    #[must_use]
    pub fn delivery(&self, row: CallRow) -> Delivery {
        let CallRow { id, event_id, now, timeout, trigger_id, app, trigger_name, trigger_version, .. } = row;
        let NewEvent { event_type, subject, data } = self.event.clone();
        let Cause { actor, parent, traceparent } = self.cause.clone();
        let (handler, runs_as) = match &self.target {
            SyncTarget::Trigger { .. } => (row.handler, row.registered_by),
            SyncTarget::Script { script, .. } => (Some(Handler::Script(script.clone())), actor.clone()),
        };
        let event = Event {
            id: event_id,
            app,
            source: Source::Http,
            event_type,
            subject,
            time: now,
            data,
            actor,
            root_id: parent.map_or(event_id, |parent| parent.root_id),
            parent_id: parent.map(|parent| parent.parent_id),
            depth: parent.map_or(0, |parent| parent.depth),
            traceparent,
        };
        Delivery {
            id,
            trigger_id,
            trigger_name,
            trigger_version,
            event,
            handler,
            script_version: row.script_version,
            runs_as,
            standing: Standing::Allowed,
            policy: RetryPolicy::once(),
            timeout,
            attempt: 1,
            lost: 0,
            lease: row.lease,
            due_at: now,
            enqueued_at: now,
            redrive_generation: 0,
            reply_to: Some(self.inbox),
            handles_letter: None,
        }
    }
}
