//! The app of every simulated world.

use crate::plan::TriggerChange;
use crate::probes::Probe;
use tidegate_core::{
    AppName, Event, InboxId, Micros, PrincipalId, RetryPolicy, RetryPolicySpec, Role, Source, TimeoutMs, Timestamp,
    TriggerId, TriggerSpec,
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

/// The app that a call counts for. All calls run handlers of one app, so that a bug in the fair
/// share shows in this app's promises.
pub(crate) fn app_of_call(inbox: InboxId) -> AppName {
    let is_other = inbox.seq.is_multiple_of(3) && !is_invocation(inbox);
    AppName::new(if is_other { "other" } else { "sim" }).expect("a constant within the rule")
}

/// Whether the call runs a script by its name.
pub(crate) fn is_invocation(inbox: InboxId) -> bool {
    inbox.seq % 5 == 4
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

/// The subject of an event that kills each daemon that executes it.
pub(crate) const POISON: &str = "poison";

/// True if this event kills each daemon that executes it. A dead-letter handler survives it.
pub(crate) fn is_poison(event: &Event) -> bool {
    event.source == Source::App && event.subject.as_str() == POISON
}

/// The triggers of the app.
fn triggers() -> Vec<TriggerSpec> {
    vec![
        on("count", 100, "constant", None),
        on("flaky", 4, "exponential", None),
        on("slow", 100, "linear", None),
        on("limited", 100, "constant", Some(LIMIT)),
        on("loop", 100, "constant", None),
        on("doomed", 2, "linear", None),
        on("once", 1, "constant", None),
        TriggerSpec { retry: aging(), ..on("aging", 100, "constant", None) },
        with("kv", serde_json::json!({"source": "kv", "collection": "in"})),
        with("cron", serde_json::json!({"source": "cron", "expression": "* * * * *"})),
        with("letters", serde_json::json!({"source": "dead_letter", "trigger": "doomed"})),
        with("page", serde_json::json!({"source": "http", "method": "GET", "path": "/"})),
    ]
}

fn owned() -> TriggerSpec {
    on("owned", 100, "constant", None)
}

/// A store with all triggers, and the id of the HTTP trigger that callers call.
pub(crate) fn deployed() -> (Memory, TriggerId) {
    let mut store = Memory::new(Timestamp(EPOCH));
    let deployment = Deployment { scripts: Vec::new(), triggers: triggers(), renames: Vec::new() };
    store.deploy(&app(), &deployment, &principal("admin"));
    store.add_principal(&NewPrincipal { id: principal(OWNER), admin: false, monitor: false, password_hash: None });
    store.set_role(&principal(OWNER), &app(), Some(Role::Editor));
    store.set_trigger(&app(), &owned(), &principal(OWNER));
    let page = trigger_id(&store, "page").expect("it was deployed");
    (store, page)
}

/// The id of the trigger with this name.
pub(crate) fn trigger_id(store: &Memory, name: &str) -> Option<TriggerId> {
    store.triggers_of(&app()).into_iter().find(|trigger| trigger.spec.name.as_str() == name).map(|trigger| trigger.id)
}

/// Deploys the app again, with a change.
pub(crate) fn redeploy(store: &mut Memory, change: &TriggerChange) {
    let mut triggers = triggers();
    triggers.push(owned());
    match change {
        TriggerChange::None => {}
        TriggerChange::Deleted(name) => triggers.retain(|trigger| trigger.name.as_str() != name),
        TriggerChange::Limit(limit) => triggers[3] = on("limited", 100, "constant", Some(*limit)),
        TriggerChange::Disabled(name) | TriggerChange::Changed(name) => {
            let is_enabled = matches!(change, TriggerChange::Changed(_));
            let found = triggers.iter_mut().find(|trigger| trigger.name.as_str() == name);
            let trigger = found.expect("plans name triggers of the app");
            trigger.enabled = is_enabled;
            if is_enabled {
                let changed = on(name, 3, "linear", None);
                (trigger.retry, trigger.timeout_ms) =
                    (changed.retry, TimeoutMs::try_from(700).expect("within the bounds"));
            }
        }
    }
    store.deploy(&app(), &Deployment { scripts: Vec::new(), triggers, renames: Vec::new() }, &principal("admin"));
}

/// The operators repeat what a restore of the store may have undone.
pub(crate) fn repair(store: &mut Memory) {
    for trigger in store.triggers_of(&app()) {
        store.pause(&app(), &trigger.spec.name, false).expect("the app is there");
    }
    store.set_disabled(&principal(OWNER), false);
    redeploy(store, &TriggerChange::None);
}

/// The probe of a deployment with this change, if the change concerns rows of the outbox.
pub(crate) fn deploy_probe(store: &Memory, change: &TriggerChange) -> Option<Probe> {
    let (name, probe) = match change {
        TriggerChange::None => return Some(Probe::Redeployed).filter(|_| store.outbox_len() > 0),
        TriggerChange::Disabled(name) => (name.as_str(), Probe::TriggerDisabled),
        TriggerChange::Deleted(name) => (name.as_str(), Probe::TriggerDeleted),
        TriggerChange::Changed(name) => (name.as_str(), Probe::TriggerChanged),
        TriggerChange::Limit(_) => ("limited", Probe::LimitChanged),
    };
    let has_rows = trigger_id(store, name).is_some_and(|trigger| store.lane(trigger).next().is_some());
    has_rows.then_some(probe)
}
