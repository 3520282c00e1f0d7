//! Deliveries, calls and settings for tests.

use tidegate_core::*;
use uuid::Uuid;

pub(crate) const NOW: Timestamp = Timestamp(1_800_000_000_000_000);
pub(crate) const KEY: RngKey = RngKey(7);

pub(crate) fn boot() -> Boot {
    Boot { incarnation: Incarnation(Uuid::from_u128(1)), rng_key: KEY }
}

pub(crate) fn config(change: impl FnOnce(&mut ConfigSpec)) -> Config {
    let mut spec =
        ConfigSpec { gate: GateLimits { permits: 4, sync_reserve: 0, async_reserve: 0 }, ..ConfigSpec::default() };
    change(&mut spec);
    Config::try_from(spec).unwrap()
}

pub(crate) fn policy(max_attempts: u32) -> RetryPolicy {
    let spec = RetryPolicySpec {
        max_attempts,
        backoff: Backoff::Constant,
        base_ms: 100,
        max_ms: 100,
        jitter: 0.0,
        ..RetryPolicySpec::default()
    };
    RetryPolicy::try_from(spec).unwrap()
}

pub(crate) fn event(depth: u32) -> Event {
    Event {
        id: EventId(Uuid::from_u128(10)),
        app: AppName::new("orders").unwrap(),
        source: Source::Kv,
        event_type: EventType::new("kv.set").unwrap(),
        subject: Subject::new("orders/1").unwrap(),
        time: NOW,
        data: Json::null(),
        actor: PrincipalId::new("admin").unwrap(),
        root_id: EventId(Uuid::from_u128(10)),
        parent_id: None,
        depth,
        traceparent: None,
    }
}

/// The first claim of an async row that is due now.
pub(crate) fn delivery(trigger: i64, id: i64) -> Delivery {
    Delivery {
        id: DeliveryId(id),
        trigger_id: TriggerId(trigger),
        trigger_name: TriggerName::new(format!("t{trigger}")).unwrap(),
        trigger_version: 1,
        event: event(0),
        handler: Some(Handler::Script(ScriptName::new("s").unwrap())),
        script_version: Some(1),
        runs_as: PrincipalId::new("admin").unwrap(),
        standing: Standing::Allowed,
        policy: policy(3),
        timeout: Micros::from_secs(1),
        attempt: 1,
        lost: 0,
        lease: Lease(1),
        due_at: NOW,
        enqueued_at: NOW,
        redrive_generation: 0,
        reply_to: None,
        handles_letter: None,
    }
}

/// The inbox of a caller of this incarnation.
pub(crate) fn caller(seq: u64) -> InboxId {
    InboxId { incarnation: boot().incarnation, seq }
}

/// A call of trigger 9. `depth` is the depth of its chain of events.
pub(crate) fn call(seq: u64, depth: u32) -> SyncCall {
    let parent = Parent { root_id: event(0).id, parent_id: event(0).id, depth };
    let parent = (depth > 0).then_some(parent);
    SyncCall {
        inbox: caller(seq),
        target: SyncTarget::Trigger { app: event(0).app, id: TriggerId(9) },
        event: NewEvent {
            event_type: EventType::new("http.request").unwrap(),
            subject: Subject::new("GET /").unwrap(),
            data: Json::null(),
        },
        cause: Cause { parent, ..Cause::outside(PrincipalId::new("admin").unwrap()) },
        idempotency_key: None,
    }
}

/// The delivery that a store returns for that call.
pub(crate) fn call_delivery(seq: u64, id: i64) -> Delivery {
    let event_type = EventType::new("http.request").unwrap();
    Delivery {
        reply_to: Some(caller(seq)),
        event: Event { source: Source::Http, event_type, ..event(0) },
        ..delivery(9, id)
    }
}

pub(crate) fn effects() -> Effects {
    let event_type = EventType::new("order.created").unwrap();
    let event = NewEvent { event_type, subject: Subject::new("").unwrap(), data: Json::null() };
    Effects { events: vec![event], ..Effects::default() }
}

pub(crate) fn inbox() -> InboxId {
    InboxId { incarnation: Incarnation(Uuid::from_u128(2)), seq: 1 }
}

pub(crate) fn succeeded() -> Outcome {
    Outcome::Succeeded { effects: Effects::default(), reply: None }
}

pub(crate) fn failed(error: ExecError) -> Outcome {
    Outcome::Failed(Failure::new(error, "boom"))
}

/// A schedule that ticks at every full hour. `NOW` is a full hour.
pub(crate) fn schedule(next_tick: Option<Timestamp>) -> Schedule {
    let expression = CronExpression::new("0 * * * *").unwrap();
    Schedule { trigger: TriggerId(5), expression, time_zone: TimeZone::UTC, next_tick }
}
