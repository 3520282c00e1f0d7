//! Short constructors for the values in the cases.

use tidegate_core::{
    AppName, Attempt, Cause, Collection, CronExpression, DeadReason, Effects, EventType, ExecError, Handler, Isolation,
    Json, Key, KvWrite, Match, MaxConcurrency, Micros, NewEvent, Pattern, PrincipalId, ReadVersion, RetryPolicy,
    RetryPolicySpec, RouteMethod, RoutePath, ScriptName, Subject, TimeZone, Timestamp, TriggerName, TriggerSpec,
    Verdict, Version,
};

pub(crate) fn app_name(text: &str) -> AppName {
    AppName::new(text).expect("a valid app name")
}

pub(crate) fn trigger_name(text: &str) -> TriggerName {
    TriggerName::new(text).expect("a valid trigger name")
}

pub(crate) fn script_name(text: &str) -> ScriptName {
    ScriptName::new(text).expect("a valid script name")
}

pub(crate) fn collection(text: &str) -> Collection {
    Collection::new(text).expect("a valid collection")
}

pub(crate) fn key(text: &str) -> Key {
    Key::new(text).expect("a valid key")
}

pub(crate) fn json(text: &str) -> Json {
    Json::parse(text).expect("valid JSON")
}

pub(crate) fn pattern(text: &str) -> Pattern {
    Pattern::new(text).expect("a valid pattern")
}

/// The principal that registers the triggers of the cases.
pub(crate) fn registrant() -> PrincipalId {
    PrincipalId::new("user:ada").expect("a valid principal")
}

/// The principal that puts values and emits events without a parent event.
pub(crate) fn actor() -> PrincipalId {
    PrincipalId::new("token:bob").expect("a valid principal")
}

/// A cause without a parent event: the principal [`actor`] and a trace context that cases check.
pub(crate) fn outside() -> Cause {
    Cause { traceparent: Some(TRACEPARENT.to_owned()), ..Cause::outside(actor()) }
}

/// The trace context of [`outside`].
pub(crate) const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

pub(crate) fn new_event(event_type: &str, subject: &str, data: &str) -> NewEvent {
    NewEvent {
        event_type: EventType::new(event_type).expect("a valid event type"),
        subject: Subject::new(subject).expect("a valid subject"),
        data: json(data),
    }
}

/// A trigger with all defaults and a native handler.
pub(crate) fn spec(name: &str, rule: Match) -> TriggerSpec {
    TriggerSpec {
        name: trigger_name(name),
        rule,
        handler: Handler::Native(script_name("noop")),
        retry: RetryPolicy::default(),
        timeout_ms: 30_000_u64.try_into().expect("a valid timeout"),
        max_concurrency: None,
        isolation: Isolation::default(),
        enabled: true,
    }
}

/// A trigger on `kv.set` and `kv.delete`.
pub(crate) fn on_kv(name: &str, collection: &str, key: &str) -> TriggerSpec {
    let rule = Match::Kv { ops: tidegate_core::KvOps::default(), collection: pattern(collection), key: pattern(key) };
    spec(name, rule)
}

/// A trigger on events of the app.
pub(crate) fn on_app(name: &str, event_type: &str) -> TriggerSpec {
    spec(name, Match::App { event_type: pattern(event_type), subject: Pattern::any() })
}

/// A trigger on the dead letters of the triggers that match the pattern `trigger`.
pub(crate) fn on_dead_letter(name: &str, trigger: &str) -> TriggerSpec {
    spec(name, Match::DeadLetter { trigger: pattern(trigger) })
}

/// A trigger on ticks at midnight in Berlin.
pub(crate) fn on_cron(name: &str) -> TriggerSpec {
    let expression = CronExpression::new("0 0 * * *").expect("a valid cron expression");
    spec(name, Match::Cron { expression, time_zone: TimeZone::new("Europe/Berlin").expect("a valid time zone") })
}

/// A match for requests with this method and path.
pub(crate) fn http(method: &str, path: &str) -> Match {
    Match::Http {
        method: RouteMethod::new(method).expect("a valid method"),
        path: RoutePath::new(path).expect("a valid path"),
        public: false,
    }
}

pub(crate) fn limit(max: u64) -> Option<MaxConcurrency> {
    Some(max.try_into().expect("a valid limit"))
}

/// A retry policy with `max_attempts`, a back-off of 1 ms and no jitter.
pub(crate) fn attempts(max_attempts: u32) -> RetryPolicy {
    let spec = RetryPolicySpec { max_attempts, base_ms: 1, max_ms: 1, jitter: 0.0, ..RetryPolicySpec::default() };
    spec.try_into().expect("a valid policy")
}

/// Attempt `n`, which failed with `message` after 1.5 ms.
pub(crate) fn threw(n: u32, started_at: Timestamp, message: &str) -> Attempt {
    Attempt {
        attempt: n,
        started_at,
        duration: Some(Micros(1_500)),
        error: ExecError::ScriptError,
        message: message.to_owned(),
    }
}

/// The default retry policy with these limits.
pub(crate) fn limits(max_attempts: u32, max_lost: u32) -> RetryPolicy {
    let spec = RetryPolicySpec { max_attempts, max_lost, ..RetryPolicySpec::default() };
    RetryPolicy::try_from(spec).expect("a valid policy")
}

/// The record of the lost attempt `n`, which was claimed at `started_at`.
pub(crate) fn lost(n: u32, started_at: Timestamp) -> Attempt {
    Attempt {
        attempt: n,
        started_at,
        duration: None,
        error: ExecError::Lost,
        message: Attempt::LOST_MESSAGE.to_owned(),
    }
}

/// The verdict `Done` without effects.
pub(crate) fn done() -> Verdict {
    Verdict::Done { effects: Effects::default() }
}

/// The verdict `Done` with `effects`.
pub(crate) fn done_with(effects: Effects) -> Verdict {
    Verdict::Done { effects }
}

/// The verdict `Dead`, for a permanent failure.
pub(crate) fn dead(failed: Attempt) -> Verdict {
    Verdict::Dead {
        reason: DeadReason::Permanent,
        attempts: failed.attempt,
        fingerprint: failed.fingerprint(),
        failed: Some(failed),
        disable_trigger: false,
    }
}

pub(crate) fn read(in_collection: &str, of_key: &str, version: Option<Version>) -> ReadVersion {
    ReadVersion { collection: collection(in_collection), key: key(of_key), version }
}

/// A staged write; `None` deletes.
pub(crate) fn write(in_collection: &str, of_key: &str, value: Option<&str>) -> KvWrite {
    KvWrite { collection: collection(in_collection), key: key(of_key), value: value.map(json) }
}

/// A back-off that no case waits for.
pub(crate) const A_MINUTE: Micros = Micros::from_secs(60);
