//! Sync calls: each gets an outbox row that is already claimed by the daemon of its caller.

use crate::memory::Memory;
use crate::rows::{CallKey, Row, TriggerRow};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_core::{
    AppName, BeginCallsReply, Claim, Delivery, Handler, IdempotencyKey, Isolation, Lease, Match, Micros, PrincipalId,
    Refusal, Reply, RetryPolicy, RouteMethod, RoutePath, ScriptName, Source, Standing, SyncCall, SyncReply, SyncTarget,
    Trigger, TriggerId, TriggerName, TriggerSpec,
};

/// The result of a call that is not refused.
enum AcceptedCall {
    /// The row of the call was written.
    Started(Arc<Delivery>),
    /// The call repeats an earlier call, which had this reply.
    Repeated(SyncReply),
}

/// How long a reply is kept for repeated calls.
const CALL_KEY_AGE_MAX: Micros = Micros::from_secs(24 * 3_600);

impl Memory {
    pub(crate) fn begin_calls(&mut self, calls: Vec<SyncCall>, lease_for: Micros) -> Reply {
        let (mut deliveries, mut refused, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
        let mut leases = BTreeMap::new();
        for call in calls {
            let inbox = call.inbox;
            match self.begin_call(call, lease_for, &mut leases) {
                Ok(AcceptedCall::Started(delivery)) => deliveries.push(delivery),
                Ok(AcceptedCall::Repeated(reply)) => repeated.push((inbox, reply)),
                Err(refusal) => refused.push((inbox, refusal)),
            }
        }
        Reply::BeginCalls(BeginCallsReply { now: self.now, deliveries, refused, repeated })
    }

    /// Writes the row of a call, unless the call is refused or repeated. `leases` contains the
    /// numbers of the claims of this request.
    fn begin_call(
        &mut self,
        call: SyncCall,
        lease_for: Micros,
        leases: &mut BTreeMap<TriggerId, Lease>,
    ) -> Result<AcceptedCall, Refusal> {
        let (id, script, timeout) = match call.target {
            SyncTarget::Trigger { id, .. } => (id, None, None),
            SyncTarget::Script { app, script, timeout } => {
                (self.invocation_lane(&app).ok_or(Refusal::Gone)?, Some(script), Some(timeout))
            }
        };
        let trigger = &self.callable_lane(id, script.is_some())?.trigger;
        let (app, timeout) = (trigger.app.clone(), timeout.unwrap_or(trigger.spec.timeout_ms).as_micros());
        if let Some(key) = &call.idempotency_key
            && let Some(reply) = self.reply_of_earlier_call(&app, key)?
        {
            return Ok(AcceptedCall::Repeated(reply));
        }
        let event = self.event(&app, Source::Http, call.event, &call.cause);
        let row = Row {
            lease: *leases.entry(id).or_insert_with(|| self.next_claim()),
            lease_until: self.now.plus(lease_for),
            leased_at: self.now,
            reply_to: Some(call.inbox),
            script,
            call_key: call.idempotency_key.as_ref().map(|key| key.key.clone()),
            ..self.new_row(id, event, RetryPolicy::once(), timeout)
        };
        if let Some(IdempotencyKey { key, digest }) = call.idempotency_key {
            let claim = Claim { delivery: row.id, lease: row.lease };
            let call_key = CallKey { digest, claim, reply: None, created_at: self.now };
            self.call_keys.insert((app, key), call_key);
        }
        self.insert(row.clone());
        self.delivery_of(row).map(AcceptedCall::Started).ok_or(Refusal::Gone)
    }

    /// The lane of a call, unless the lane must refuse the call.
    fn callable_lane(&self, id: TriggerId, is_invocation: bool) -> Result<&TriggerRow, Refusal> {
        let is_callable = |lane: &&TriggerRow| {
            lane.hidden == is_invocation
                && !lane.deleted
                && lane.trigger.spec.enabled
                && matches!(lane.trigger.spec.rule, Match::Http { .. })
        };
        let lane = self.triggers.get(&id).filter(is_callable).ok_or(Refusal::Gone)?;
        if lane.trigger.paused {
            return Err(Refusal::Paused);
        }
        match self.standing(&lane.trigger.registered_by, &lane.trigger.app) {
            Standing::Allowed => {}
            standing => return Err(Refusal::Denied(standing)),
        }
        if lane.trigger.spec.max_concurrency.is_some_and(|limit| self.running_in(id) >= limit.get()) {
            return Err(Refusal::Busy);
        }
        Ok(lane)
    }

    /// The reply of an earlier call with the same key. Refuses the call if the key was used for a
    /// different request, or if the earlier call still runs.
    fn reply_of_earlier_call(&self, app: &AppName, key: &IdempotencyKey) -> Result<Option<SyncReply>, Refusal> {
        let Some(earlier) = self.call_keys.get(&(app.clone(), key.key.clone())) else { return Ok(None) };
        if self.now.since(earlier.created_at) >= CALL_KEY_AGE_MAX {
            return Ok(None);
        }
        if earlier.digest != key.digest {
            return Err(Refusal::KeyReused);
        }
        if let Some(reply) = earlier.reply.clone() {
            return Ok(Some(SyncReply { execution: Some(earlier.claim), result: Ok(Some(reply)) }));
        }
        if self.outbox.contains_key(&earlier.claim.delivery) { Err(Refusal::KeyInUse) } else { Ok(None) }
    }

    /// The hidden lane for invocations of an app's scripts.
    fn invocation_lane(&self, app: &AppName) -> Option<TriggerId> {
        let is_lane = |row: &&TriggerRow| row.hidden && row.trigger.app == *app;
        self.triggers.values().find(is_lane).map(|row| row.trigger.id)
    }

    /// Creates the app and its hidden lane for invocations, unless the app exists.
    pub(crate) fn create_app(&mut self, app: &AppName) {
        if self.apps.contains_key(app) {
            return;
        }
        self.apps.insert(app.clone(), self.now);
        let spec = TriggerSpec {
            name: TriggerName::new("invoke").expect("a constant within the rule"),
            rule: Match::Http {
                method: RouteMethod::new("POST").expect("a constant within the rule"),
                path: RoutePath::new("/").expect("a constant within the rule"),
                public: false,
            },
            handler: Handler::Native(ScriptName::new("invoke").expect("a constant within the rule")),
            retry: RetryPolicy::once(),
            timeout_ms: tidegate_core::TimeoutMs::default(),
            max_concurrency: None,
            isolation: Isolation::default(),
            enabled: true,
        };
        let trigger = Trigger {
            id: TriggerId(self.next_id()),
            app: app.clone(),
            spec,
            paused: false,
            registered_by: PrincipalId::new("system").expect("a constant within the rule"),
            version: 1,
        };
        self.triggers.insert(trigger.id, TriggerRow { hidden: true, ..TriggerRow::of(trigger) });
    }
}
