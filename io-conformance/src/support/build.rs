//! Short ways to make the values that cases are about.

use tidegate_core::{
    AppName, Attempt, Cause, Collection, CronExpression, DeadReason, Effects, EventType, ExecError, Handler, Isolation,
    Json, Key, KvWrite, Match, MaxConcurrency, Micros, NewEvent, Pattern, PrincipalId, ReadVersion, RetryPolicy,
    RetryPolicySpec, RouteMethod, RoutePath, ScriptName, Subject, TimeZone, Timestamp, TriggerName, TriggerSpec,
    Verdict, Version,
};

pub(crate) fn app_name(text: &str) -> AppName {
    AppName::new(text).expect("an app's name")
}

pub(crate) fn trigger_name(text: &str) -> TriggerName {
    TriggerName::new(text).expect("a trigger's name")
}

pub(crate) fn script_name(text: &str) -> ScriptName {
    ScriptName::new(text).expect("a script's name")
}

pub(crate) fn collection(text: &str) -> Collection {
    Collection::new(text).expect("a collection")
}

pub(crate) fn key(text: &str) -> Key {
    Key::new(text).expect("a key")
}

pub(crate) fn json(text: &str) -> Json {
    Json::parse(text).expect("JSON")
}

pub(crate) fn pattern(text: &str) -> Pattern {
    Pattern::new(text).expect("a pattern")
}

/// Who registers the triggers of the cases.
pub(crate) fn registrant() -> PrincipalId {
    PrincipalId::new("user:ada").expect("a principal")
}

/// Who puts and emits from outside.
pub(crate) fn actor() -> PrincipalId {
    PrincipalId::new("token:bob").expect("a principal")
}

/// Caused by [`actor`], with a trace context, so that its way can be followed.
pub(crate) fn outside() -> Cause {
    Cause { traceparent: Some(TRACEPARENT.to_owned()), ..Cause::outside(actor()) }
}

/// The trace context of [`outside`].
pub(crate) const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

pub(crate) fn new_event(event_type: &str, subject: &str, data: &str) -> NewEvent {
    NewEvent {
        event_type: EventType::new(event_type).expect("an event type"),
        subject: Subject::new(subject).expect("a subject"),
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
        timeout_ms: 30_000_u64.try_into().expect("a timeout"),
        max_concurrency: None,
        isolation: Isolation::default(),
        enabled: true,
    }
}

/// A trigger on both KV operations.
pub(crate) fn on_kv(name: &str, collection: &str, key: &str) -> TriggerSpec {
    let rule = Match::Kv { ops: tidegate_core::KvOps::default(), collection: pattern(collection), key: pattern(key) };
    spec(name, rule)
}

/// A trigger on events of the app.
pub(crate) fn on_app(name: &str, event_type: &str) -> TriggerSpec {
    spec(name, Match::App { event_type: pattern(event_type), subject: Pattern::any() })
}

/// A trigger on the dead letters of the triggers whose names match.
pub(crate) fn on_dead_letter(name: &str, trigger: &str) -> TriggerSpec {
    spec(name, Match::DeadLetter { trigger: pattern(trigger) })
}

/// A trigger on ticks at midnight in Berlin.
pub(crate) fn on_cron(name: &str) -> TriggerSpec {
    let expression = CronExpression::new("0 0 * * *").expect("a cron expression");
    spec(name, Match::Cron { expression, time_zone: TimeZone::new("Europe/Berlin").expect("a time zone") })
}

/// Requests of this method and path.
pub(crate) fn http(method: &str, path: &str) -> Match {
    Match::Http {
        method: RouteMethod::new(method).expect("a method"),
        path: RoutePath::new(path).expect("a path"),
        public: false,
    }
}

pub(crate) fn limit(max: u64) -> Option<MaxConcurrency> {
    Some(max.try_into().expect("a limit"))
}

/// The default policy but for its `max_attempts`, with everything else short.
pub(crate) fn attempts(max_attempts: u32) -> RetryPolicy {
    let spec = RetryPolicySpec { max_attempts, base_ms: 1, max_ms: 1, jitter: 0.0, ..RetryPolicySpec::default() };
    spec.try_into().expect("a policy")
}

/// The `n`th attempt, which threw `message` after 1.5 ms.
pub(crate) fn threw(n: u32, started_at: Timestamp, message: &str) -> Attempt {
    Attempt {
        attempt: n,
        started_at,
        duration: Some(Micros(1_500)),
        error: ExecError::ScriptError,
        message: message.to_owned(),
    }
}

/// What a claim records of attempt `n`, claimed at `started_at`, whose lease ran out.
pub(crate) fn lost(n: u32, started_at: Timestamp) -> Attempt {
    Attempt {
        attempt: n,
        started_at,
        duration: None,
        error: ExecError::Lost,
        message: Attempt::LOST_MESSAGE.to_owned(),
    }
}

/// Done, with nothing to apply.
pub(crate) fn done() -> Verdict {
    Verdict::Done { effects: Effects::default() }
}

/// Done, with `effects`.
pub(crate) fn done_with(effects: Effects) -> Verdict {
    Verdict::Done { effects }
}

/// Dead for good because `failed` cannot be mended.
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

/// A minute of back-off: longer than any case runs.
pub(crate) const A_MINUTE: Micros = Micros::from_secs(60);
