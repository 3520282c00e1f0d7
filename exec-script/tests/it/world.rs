//! The world of a test: one app with one script, one trigger and some values.

use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidegate_core::*;
use tidegate_exec_script::{Limits, ScriptExecutor};
use tidegate_ports::{
    Executor, Guard, KvEntries, KvEntry, KvMutation, KvPage, KvStore, PortError, PrincipalResolver, Script,
    ScriptStore, StartWait, TriggerStore,
};
use uuid::Uuid;

/// A read-only store in memory. The executor must never write to the store.
#[derive(Default)]
pub(crate) struct Values(Mutex<BTreeMap<(String, String), (Json, i64)>>);

impl Values {
    pub(crate) fn put(&self, collection: &str, key: &str, value: &str, version: i64) {
        let at = (collection.to_owned(), key.to_owned());
        self.0.lock().unwrap().insert(at, (Json::parse(value).unwrap(), version));
    }

    fn entry(key: &str, value: &(Json, i64)) -> KvEntry {
        let key = Key::new(key).unwrap();
        KvEntry { key, value: value.0.clone(), version: Version(value.1), updated_at: Timestamp(0) }
    }
}

#[async_trait]
impl KvStore for Values {
    async fn get(&self, _: &AppName, collection: &Collection, key: &Key) -> Result<Option<KvEntry>, PortError> {
        let at = (collection.to_string(), key.to_string());
        Ok(self.0.lock().unwrap().get(&at).map(|value| Self::entry(key.as_str(), value)))
    }

    async fn put(
        &self,
        _: &AppName,
        _: &Collection,
        _: &Key,
        _: Json,
        _: Guard,
        _: &Cause,
    ) -> Result<KvMutation, PortError> {
        panic!("a script must not write to the store")
    }

    async fn delete(
        &self,
        _: &AppName,
        _: &Collection,
        _: &Key,
        _: Guard,
        _: &Cause,
    ) -> Result<Option<KvMutation>, PortError> {
        panic!("a script must not write to the store")
    }

    async fn list(&self, _: &AppName, collection: &Collection, page: &KvPage) -> Result<KvEntries, PortError> {
        let values = self.0.lock().unwrap();
        let wanted = values.iter().filter(|((c, k), _)| {
            c == collection.as_str()
                && k.starts_with(&page.prefix)
                && page.after.as_ref().is_none_or(|after| k.as_str() > after.as_str())
        });
        let entries = wanted.take(page.limit as usize).map(|((_, k), value)| Ok(Self::entry(k, value)));
        KvEntries::within(page.bytes_max, entries)
    }
}

/// Resolves every principal as an admin, until a test sets another answer.
#[derive(Default)]
pub(crate) struct Principals(Mutex<Option<Result<Option<Principal>, PortError>>>);

impl Principals {
    pub(crate) fn set(&self, principal: Option<Principal>) {
        *self.0.lock().unwrap() = Some(Ok(principal));
    }

    pub(crate) fn fail(&self) {
        *self.0.lock().unwrap() = Some(Err(unavailable()));
    }
}

fn unavailable() -> PortError {
    StoreError::not_applied(StoreErrorKind::Unavailable, "the store is down").into()
}

#[async_trait]
impl PrincipalResolver for Principals {
    async fn resolve(&self, id: &PrincipalId) -> Result<Option<Principal>, PortError> {
        let answer = self.0.lock().unwrap().clone();
        answer.unwrap_or_else(|| Ok(Some(Principal::admin(id.clone()))))
    }
}

/// The source of a script that the store cannot read.
pub(crate) const BROKEN_STORE: &str = "broken";
/// The source of a script that the store never returns.
pub(crate) const SLOW_STORE: &str = "slow";

struct OneScript(Mutex<(i64, String)>);

#[async_trait]
impl ScriptStore for OneScript {
    async fn list(&self, _: &AppName) -> Result<Vec<Script>, PortError> {
        panic!("the executor lists no scripts")
    }

    async fn get(&self, _: &AppName, name: &ScriptName) -> Result<Option<Script>, PortError> {
        let (version, source) = self.0.lock().unwrap().clone();
        if source == BROKEN_STORE {
            return Err(unavailable());
        }
        if source == SLOW_STORE {
            std::future::pending::<()>().await;
        }
        let script = Script { name: name.clone(), version, source, updated_at: Timestamp(0) };
        Ok((name.as_str() == "s").then_some(script))
    }

    async fn put(&self, _: &AppName, _: &ScriptName, _: &str) -> Result<Script, PortError> {
        panic!("the executor writes no scripts")
    }

    async fn delete(&self, _: &AppName, _: &ScriptName) -> Result<bool, PortError> {
        panic!("the executor deletes no scripts")
    }
}

/// Answers with a trigger for every name. A test sets its version and its isolation.
struct OneTrigger(Mutex<(i64, Isolation)>);

#[async_trait]
impl TriggerStore for OneTrigger {
    async fn list(&self, _: &AppName) -> Result<Vec<Trigger>, PortError> {
        panic!("the executor lists no triggers")
    }

    async fn get(&self, app: &AppName, name: &TriggerName) -> Result<Option<Trigger>, PortError> {
        let (version, isolation) = *self.0.lock().unwrap();
        let spec = serde_json::json!({
            "name": name, "match": {"source": "app", "type": "*"}, "handler": {"script": "s"}, "isolation": isolation,
        });
        let (spec, registered_by) = (serde_json::from_value(spec).unwrap(), PrincipalId::new("admin").unwrap());
        Ok(Some(Trigger { id: TriggerId(3), app: app.clone(), spec, paused: false, registered_by, version }))
    }

    async fn put(&self, _: &AppName, _: &TriggerSpec, _: &PrincipalId) -> Result<Trigger, PortError> {
        panic!("the executor writes no triggers")
    }

    async fn delete(&self, _: &AppName, _: &TriggerName) -> Result<bool, PortError> {
        panic!("the executor deletes no triggers")
    }

    async fn set_paused(&self, _: &AppName, _: &TriggerName, _: bool) -> Result<Option<Trigger>, PortError> {
        panic!("the executor pauses no triggers")
    }
}

pub(crate) struct World {
    pub(crate) executor: Arc<ScriptExecutor>,
    pub(crate) values: Arc<Values>,
    pub(crate) principals: Arc<Principals>,
    script: Arc<OneScript>,
    trigger: Arc<OneTrigger>,
}

pub(crate) fn delivery(timeout: Duration) -> Delivery {
    let id = EventId(Uuid::from_u128(1));
    Delivery {
        id: DeliveryId(7),
        trigger_id: TriggerId(3),
        trigger_name: TriggerName::new("t").unwrap(),
        trigger_version: 1,
        event: Event {
            id,
            app: AppName::new("a").unwrap(),
            source: Source::App,
            event_type: EventType::new("order.created").unwrap(),
            subject: Subject::new("o/1").unwrap(),
            time: Timestamp(0),
            data: Json::parse(r#"{"customer":"ann","total":12}"#).unwrap(),
            actor: PrincipalId::new("admin").unwrap(),
            root_id: id,
            parent_id: None,
            depth: 0,
            traceparent: None,
        },
        handler: Some(Handler::Script(ScriptName::new("s").unwrap())),
        script_version: Some(1),
        runs_as: PrincipalId::new("admin").unwrap(),
        standing: Standing::Allowed,
        policy: RetryPolicy::default(),
        timeout: Micros(u64::try_from(timeout.as_micros()).unwrap()),
        attempt: 2,
        lost: 0,
        lease: Lease(5),
        due_at: Timestamp(0),
        enqueued_at: Timestamp(0),
        redrive_generation: 0,
        reply_to: None,
        handles_letter: None,
    }
}

impl World {
    pub(crate) fn new(source: &str) -> Self {
        Self::with_limits(source, Limits::default())
    }

    pub(crate) fn with_limits(source: &str, limits: Limits) -> Self {
        // No correct test waits this long for a thread, unless it sets another time.
        Self::with_start_wait(source, limits, Duration::from_secs(20))
    }

    pub(crate) fn with_start_wait(source: &str, limits: Limits, start_wait_max: Duration) -> Self {
        let values = Arc::new(Values::default());
        let script = Arc::new(OneScript(Mutex::new((1, source.to_owned()))));
        let scripts: Arc<dyn ScriptStore> = Arc::clone(&script) as _;
        let kv: Arc<dyn KvStore> = Arc::clone(&values) as _;
        let principals = Arc::new(Principals::default());
        let resolver: Arc<dyn PrincipalResolver> = Arc::clone(&principals) as _;
        let trigger = Arc::new(OneTrigger(Mutex::new((1, Isolation::Warm))));
        let triggers: Arc<dyn TriggerStore> = Arc::clone(&trigger) as _;
        let ports = tidegate_exec_script::World { scripts, triggers, kv, principals: resolver };
        Self {
            executor: Arc::new(ScriptExecutor::new(ports, limits, start_wait_max)),
            values,
            principals,
            script,
            trigger,
        }
    }

    pub(crate) fn change_trigger(&self, version: i64, isolation: Isolation) {
        *self.trigger.0.lock().unwrap() = (version, isolation);
    }

    pub(crate) fn change_script(&self, version: i64, source: &str) {
        *self.script.0.lock().unwrap() = (version, source.to_owned());
    }

    /// Runs the script with a timeout of 20 seconds, which no correct test reaches.
    pub(crate) async fn run(&self) -> Outcome {
        self.run_for(Duration::from_secs(20)).await
    }

    pub(crate) async fn run_for(&self, timeout: Duration) -> Outcome {
        self.executor.execute(Arc::new(delivery(timeout)), &StartWait::begin()).await
    }

    /// Runs `delivery` as a call, and returns its reply, which must be a number.
    pub(crate) async fn number(&self, delivery: Delivery) -> i64 {
        match self.text(delivery).await.parse() {
            Ok(number) => number,
            Err(error) => panic!("the reply is not a number: {error}"),
        }
    }

    /// Runs `delivery` as a call, and returns the JSON of its reply.
    pub(crate) async fn text(&self, delivery: Delivery) -> String {
        let inbox = InboxId { incarnation: Incarnation(Uuid::from_u128(1)), seq: 1 };
        match self.executor.execute(Arc::new(Delivery { reply_to: Some(inbox), ..delivery }), &StartWait::begin()).await
        {
            Outcome::Succeeded { reply: Some(HandlerReply { body: Some(ReplyBody::Json(body)), .. }), .. } => {
                body.as_str().to_owned()
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn effects(&self) -> Effects {
        match self.run().await {
            Outcome::Succeeded { effects, .. } => effects,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn failure(&self) -> Failure {
        failure(self.run().await)
    }
}

/// Threads of all apps that are stuck in a built-in function.
pub(crate) fn stuck(world: &World) -> usize {
    world.executor.stats().stuck.values().sum()
}

/// The reason of a handler that did not start.
pub(crate) fn reason(outcome: Outcome) -> String {
    match outcome {
        Outcome::NotStarted { reason } => reason,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn failure(outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}
