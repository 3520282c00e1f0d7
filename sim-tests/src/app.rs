//! The app of every simulated world.

use tidegate_core::{
    AppName, Micros, PrincipalId, RetryPolicy, RetryPolicySpec, Role, Timestamp, TriggerId, TriggerSpec,
};
use tidegate_io_sim::Memory;
use tidegate_ports::{Deployment, NewPrincipal};

/// The start of a run by the store's clock: 2.5 s before a full minute, at which cron ticks.
pub(crate) const EPOCH: i64 = 1_800_000_057_500_000;
pub(crate) const MAX_DEPTH: u32 = 4;
/// The `max_concurrency` of the trigger `limited`.
pub(crate) const LIMIT: u32 = 2;
pub(crate) const SYNC_QUEUE_MAX: u32 = 5;
/// The longest wait of a sync call for a permit.
pub(crate) const SYNC_WAIT: Micros = Micros::from_millis(1_000);
/// The longest wait of a claimed row for a permit.
pub(crate) const QUEUE_WAIT: Micros = Micros::from_millis(200);
/// The longest shutdown: the grace time for executions, and 2 s for the last settlements.
pub(crate) const SHUTDOWN: Micros = Micros::from_millis(SHUTDOWN_GRACE_MS + 2_000);
pub(crate) const SHUTDOWN_GRACE_MS: u64 = 1_000;
/// Renewals within one lease.
pub(crate) const RENEWALS: u32 = 3;
/// The longest effect of a fault after its end: a lease, or the longest pause between discoveries.
pub(crate) const AFTER_EFFECTS: u64 = 6_000_000;
/// The principal that registered the trigger `owned`.
pub(crate) const OWNER: &str = "user:carol";

pub(crate) fn app() -> AppName {
    AppName::new("sim").expect("a constant within the rule")
}

pub(crate) fn principal(name: &str) -> PrincipalId {
    PrincipalId::new(name).expect("a constant within the rule")
}

fn spec(value: serde_json::Value) -> TriggerSpec {
    serde_json::from_value(value).expect("the triggers are valid")
}

/// A trigger on app events whose type is the trigger's name.
fn on(name: &str, attempts: u32, backoff: &str, limit: Option<u32>) -> TriggerSpec {
    // A trigger with many attempts has many losses, so that none of its deliveries dies of faults.
    let losses = if attempts == 100 { 100 } else { 2 };
    spec(serde_json::json!({
        "name": name, "match": {"source": "app", "type": name}, "handler": {"native": name}, "timeout_ms": 2_000,
        "retry": {
            "max_attempts": attempts, "max_lost": losses, "backoff": backoff, "base_ms": 50, "max_ms": 400, "jitter": 0.5,
        },
        "max_concurrency": limit,
    }))
}

/// A policy with a maximum age of 700 ms.
fn aging() -> RetryPolicy {
    let spec =
        RetryPolicySpec { max_attempts: 100, base_ms: 100, max_ms: 300, max_age_ms: Some(700), ..Default::default() };
    RetryPolicy::try_from(spec).expect("constants within the bounds")
}

/// A trigger with any match rule.
fn with(name: &str, rule: serde_json::Value) -> TriggerSpec {
    spec(serde_json::json!({
        "name": name, "match": rule, "handler": {"native": name}, "timeout_ms": 2_000,
        "retry": {"max_attempts": 100, "max_lost": 100, "base_ms": 20, "max_ms": 100, "jitter": 0.0},
    }))
}

/// A store with all triggers, and the id of the HTTP trigger that callers call.
pub(crate) fn deployed() -> (Memory, TriggerId) {
    let mut store = Memory::new(Timestamp(EPOCH));
    let triggers = vec![
        on("count", 100, "constant", None),
        on("flaky", 4, "exponential", None),
        on("slow", 100, "linear", None),
        on("limited", 100, "constant", Some(LIMIT)),
        on("loop", 100, "constant", None),
        on("doomed", 2, "linear", None),
        TriggerSpec { retry: aging(), ..on("aging", 100, "constant", None) },
        with("kv", serde_json::json!({"source": "kv", "collection": "in"})),
        with("cron", serde_json::json!({"source": "cron", "expression": "* * * * *"})),
        with("letters", serde_json::json!({"source": "dead_letter", "trigger": "doomed"})),
        with("page", serde_json::json!({"source": "http", "method": "GET", "path": "/"})),
    ];
    let deployment = Deployment { scripts: Vec::new(), triggers };
    store.deploy(&app(), &deployment, &principal("admin"));
    store.add_principal(&NewPrincipal { id: principal(OWNER), admin: false, password_hash: None });
    store.set_role(&principal(OWNER), &app(), Some(Role::Editor));
    store.set_trigger(&app(), &on("owned", 100, "constant", None), &principal(OWNER));
    let page = store.triggers_of(&app()).into_iter().find(|trigger| trigger.spec.name.as_str() == "page");
    (store, page.expect("it was deployed").id)
}
