//! The delivery of a call that a store has begun: most of it the caller has said, and only the rest is the store's to say.

use crate::delivery::Delivery;
use crate::event::{Cause, Event, NewEvent, Source};
use crate::names::{AppName, DeliveryId, EventId, Lease, PrincipalId, TriggerId, TriggerName};
use crate::principal::Standing;
use crate::retry_policy::RetryPolicy;
use crate::sync::{SyncCall, SyncTarget};
use crate::time::{Micros, Timestamp};
use crate::trigger::Handler;

/// What only a store knows of a call that it begins: its row and its lane.
#[derive(Clone, Debug)]
pub struct CallRow {
    /// The row.
    pub id: DeliveryId,
    /// The event's id.
    pub event_id: EventId,
    /// By the store's clock.
    pub now: Timestamp,
    /// How long the call may take.
    pub timeout: Micros,
    /// The lane's trigger, as it is now.
    pub trigger_id: TriggerId,
    /// Its app.
    pub app: AppName,
    /// Its name.
    pub trigger_name: TriggerName,
    /// Its version.
    pub trigger_version: i64,
    /// What it runs; of an invocation it is not asked.
    pub handler: Option<Handler>,
    /// The version of the script that is run, if it is one and is there.
    pub script_version: Option<i64>,
    /// Who registered it; of an invocation it is not asked.
    pub registered_by: PrincipalId,
}

impl SyncCall {
    /// Its delivery, once its row is written: the first attempt of one, under the first lease.
    #[must_use]
    pub fn delivery(&self, row: CallRow) -> Delivery {
        let CallRow { id, event_id, now, timeout, trigger_id, app, trigger_name, trigger_version, .. } = row;
        let NewEvent { event_type, subject, data } = self.event.clone();
        let Cause { actor, parent, traceparent } = self.cause.clone();
        let (handler, runs_as) = match &self.target {
            SyncTarget::Trigger(_) => (row.handler, row.registered_by),
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
            lease: Lease(1),
            due_at: now,
            enqueued_at: now,
            redrive_generation: 0,
            reply_to: Some(self.inbox),
            handles_letter: None,
        }
    }
}
