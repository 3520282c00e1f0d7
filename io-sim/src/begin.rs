//! Sync calls: their rows are written already leased to who asks.

use crate::memory::{CallKey, Memory, Row, TriggerRow};
use tidegate_core::{
    AppName, BeginCallsReply, Claim, Delivery, DeliveryId, Handler, IdempotencyKey, Isolation, Lease, Match, Micros,
    PrincipalId, Refusal, Reply, RetryPolicy, RouteMethod, RoutePath, ScriptName, Source, Standing, SyncCall,
    SyncReply, SyncTarget, Trigger, TriggerId, TriggerName, TriggerSpec,
};

impl Memory {
    pub(crate) fn begin(&mut self, calls: Vec<SyncCall>, lease_for: Micros) -> Reply {
        let (mut begun, mut refused, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
        for call in calls {
            let inbox = call.inbox;
            match self.begin_one(call, lease_for) {
                Ok(Begun::Row(delivery)) => begun.push(*delivery),
                Ok(Begun::Repeated(reply)) => repeated.push((inbox, reply)),
                Err(refusal) => refused.push((inbox, refusal)),
            }
        }
        Reply::BeginCalls(BeginCallsReply { now: self.now, deliveries: begun, refused, repeated })
    }

    fn begin_one(&mut self, call: SyncCall, lease_for: Micros) -> Result<Begun, Refusal> {
        let (id, script, timeout) = match call.target {
            SyncTarget::Trigger(id) => (id, None, None),
            SyncTarget::Script { app, script, timeout } => {
                (self.invocations(&app).ok_or(Refusal::Gone)?, Some(script), Some(timeout))
            }
        };
        let callable = |row: &&TriggerRow| {
            row.hidden == script.is_some()
                && !row.deleted
                && row.trigger.spec.enabled
                && matches!(row.trigger.spec.rule, Match::Http { .. })
        };
        let lane = self.triggers.get(&id).filter(callable).ok_or(Refusal::Gone)?;
        if lane.trigger.paused {
            return Err(Refusal::Paused);
        }
        match self.standing(&lane.trigger.registered_by, &lane.trigger.app) {
            Standing::Allowed => {}
            standing => return Err(Refusal::Denied(standing)),
        }
        let live = |row: &&Row| row.trigger == id && row.takes_place(self.now);
        let running = self.outbox.values().filter(live).count() as u32;
        if lane.trigger.spec.max_concurrency.is_some_and(|limit| running >= limit.get()) {
            return Err(Refusal::Busy);
        }
        let app = lane.trigger.app.clone();
        if let Some(key) = &call.idempotency_key
            && let Some(known) = self.call_key(&app, key)
        {
            if known.digest != key.digest {
                return Err(Refusal::KeyReused);
            }
            if let Some(reply) = known.reply.clone() {
                let execution = Some(Claim { delivery: known.delivery, lease: Lease(1) });
                return Ok(Begun::Repeated(SyncReply { execution, result: Ok(Some(reply)) }));
            }
            if self.outbox.contains_key(&known.delivery) {
                return Err(Refusal::KeyInUse);
            }
        }
        let timeout = timeout.unwrap_or(lane.trigger.spec.timeout_ms).as_micros();
        let event = self.event(&app, Source::Http, call.event, &call.cause);
        let row = Row {
            id: DeliveryId(self.next_id()),
            trigger: id,
            event,
            policy: RetryPolicy::once(),
            timeout,
            due_at: self.now,
            enqueued_at: self.now,
            lease: Lease(1),
            lease_until: self.now.plus(lease_for),
            leased_at: self.now,
            attempt: 1,
            failed: Vec::new(),
            redrive_generation: 0,
            previous_letter: None,
            reply_to: Some(call.inbox),
            script,
            executed: None,
            call_key: call.idempotency_key.as_ref().map(|key| key.key.clone()),
            handles_letter: None,
        };
        if let Some(IdempotencyKey { key, digest }) = call.idempotency_key {
            let known = CallKey { digest, delivery: row.id, reply: None, created_at: self.now };
            self.call_keys.insert((app, key), known);
        }
        self.insert(row.clone());
        self.delivery_of(row).map(|row| Begun::Row(Box::new(row))).ok_or(Refusal::Gone)
    }

    /// What is known of a key that is not older than a day.
    fn call_key(&self, app: &AppName, key: &IdempotencyKey) -> Option<&CallKey> {
        let known = self.call_keys.get(&(app.clone(), key.key.clone()))?;
        (self.now.since(known.created_at) < Micros::from_secs(24 * 3_600)).then_some(known)
    }

    /// The lane of an app's invocations.
    fn invocations(&self, app: &AppName) -> Option<TriggerId> {
        let is = |row: &&TriggerRow| row.hidden && row.trigger.app == *app;
        self.triggers.values().find(is).map(|row| row.trigger.id)
    }

    /// Makes the app if there is none, with the lane of its invocations.
    pub(crate) fn make_app(&mut self, app: &AppName) {
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

/// What becomes of a call that is not refused.
enum Begun {
    /// Its row was written.
    Row(Box<Delivery>),
    /// It repeats another one, whose reply this is.
    Repeated(SyncReply),
}
