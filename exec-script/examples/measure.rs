//! How many executions of a script that does nothing a core gets through: `cargo run --release --example measure`.
//!
//! Rates are per second of CPU time of the whole process and of the scripts' threads alone, so that what else the machine
//! does changes them little. `measure warm 8` measures one line only, for a profiler.

use async_trait::async_trait;
use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_core::*;
use tidegate_exec_script::{Limits, ScriptExecutor, World};
use tidegate_ports::{
    Executor, Guard, KvEntry, KvMutation, KvPage, KvStore, PortError, PrincipalResolver, Script, ScriptStore,
    TriggerStore,
};

/// How long each line is measured.
const MEASURED: Duration = Duration::from_secs(2);

/// The trigger's isolation, and everything else that an executor asks for.
struct Outside(Isolation);

const NOT_ASKED: &str = "the executor does not ask for this";

#[async_trait]
impl PrincipalResolver for Outside {
    async fn resolve(&self, id: &PrincipalId) -> Result<Option<Principal>, PortError> {
        Ok(Some(Principal::admin(id.clone())))
    }
}

#[async_trait]
impl ScriptStore for Outside {
    async fn list(&self, _: &AppName) -> Result<Vec<Script>, PortError> {
        panic!("{NOT_ASKED}")
    }

    async fn get(&self, _: &AppName, name: &ScriptName) -> Result<Option<Script>, PortError> {
        let source = "export default async () => {}".to_owned();
        Ok(Some(Script { name: name.clone(), version: 1, source, updated_at: Timestamp(0) }))
    }

    async fn put(&self, _: &AppName, _: &ScriptName, _: &str) -> Result<Script, PortError> {
        panic!("{NOT_ASKED}")
    }

    async fn delete(&self, _: &AppName, _: &ScriptName) -> Result<bool, PortError> {
        panic!("{NOT_ASKED}")
    }
}

#[async_trait]
impl TriggerStore for Outside {
    async fn list(&self, _: &AppName) -> Result<Vec<Trigger>, PortError> {
        panic!("{NOT_ASKED}")
    }

    async fn get(&self, app: &AppName, _: &TriggerName) -> Result<Option<Trigger>, PortError> {
        let spec = serde_json::json!({
            "name": "t", "match": {"source": "app", "type": "*"}, "handler": {"script": "s"}, "isolation": self.0,
        });
        Ok(Some(Trigger {
            id: TriggerId(1),
            app: app.clone(),
            spec: serde_json::from_value(spec).expect("a trigger"),
            paused: false,
            registered_by: PrincipalId::new("admin").expect("a principal"),
            version: 1,
        }))
    }

    async fn put(&self, _: &AppName, _: &TriggerSpec, _: &PrincipalId) -> Result<Trigger, PortError> {
        panic!("{NOT_ASKED}")
    }

    async fn delete(&self, _: &AppName, _: &TriggerName) -> Result<bool, PortError> {
        panic!("{NOT_ASKED}")
    }

    async fn set_paused(&self, _: &AppName, _: &TriggerName, _: bool) -> Result<Option<Trigger>, PortError> {
        panic!("{NOT_ASKED}")
    }
}

#[async_trait]
impl KvStore for Outside {
    async fn get(&self, _: &AppName, _: &Collection, _: &Key) -> Result<Option<KvEntry>, PortError> {
        Ok(None)
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
        panic!("{NOT_ASKED}")
    }

    async fn delete(
        &self,
        _: &AppName,
        _: &Collection,
        _: &Key,
        _: Guard,
        _: &Cause,
    ) -> Result<Option<KvMutation>, PortError> {
        panic!("{NOT_ASKED}")
    }

    async fn list(&self, _: &AppName, _: &Collection, _: &KvPage) -> Result<Vec<KvEntry>, PortError> {
        Ok(Vec::new())
    }
}

fn delivery() -> Delivery {
    let id = EventId(uuid::Uuid::from_u128(1));
    Delivery {
        id: DeliveryId(7),
        trigger_id: TriggerId(1),
        trigger_name: TriggerName::new("t").expect("a name"),
        trigger_version: 1,
        event: Event {
            id,
            app: AppName::new("a").expect("a name"),
            source: Source::App,
            event_type: EventType::new("order.created").expect("a type"),
            subject: Subject::new("o/1").expect("a subject"),
            time: Timestamp(0),
            data: Json::parse(r#"{"customer":"ann","total":12}"#).expect("JSON"),
            actor: PrincipalId::new("admin").expect("a principal"),
            root_id: id,
            parent_id: None,
            depth: 0,
            traceparent: None,
        },
        handler: Some(Handler::Script(ScriptName::new("s").expect("a name"))),
        script_version: Some(1),
        runs_as: PrincipalId::new("admin").expect("a principal"),
        standing: Standing::Allowed,
        policy: RetryPolicy::default(),
        timeout: Micros::from_secs(30),
        attempt: 1,
        lease: Lease(5),
        due_at: Timestamp(0),
        enqueued_at: Timestamp(0),
        redrive_generation: 0,
        reply_to: None,
        handles_letter: None,
    }
}

fn process_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// What the threads that run scripts have used of the CPU so far.
fn scripts_cpu() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let nanos = tasks.flatten().filter_map(|task| {
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
        let stat = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        name.starts_with("tidegate-script").then_some(())?;
        stat.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

async fn measure(isolation: Isolation, at_once: usize) {
    let outside = Arc::new(Outside(isolation));
    let world = World {
        scripts: Arc::clone(&outside) as _,
        triggers: Arc::clone(&outside) as _,
        kv: Arc::clone(&outside) as _,
        principals: outside,
    };
    let executor = Arc::new(ScriptExecutor::new(world, Limits::default()));
    let delivery = Arc::new(delivery());
    for _ in 0..100 {
        assert!(matches!(executor.execute(Arc::clone(&delivery)).await, Outcome::Succeeded { .. }));
    }
    let (began, cpu, scripts) = (Instant::now(), process_cpu(), scripts_cpu());
    let callers: Vec<_> = (0..at_once)
        .map(|_| {
            let (executor, delivery) = (Arc::clone(&executor), Arc::clone(&delivery));
            tokio::spawn(async move {
                let mut done = 0_u32;
                while began.elapsed() < MEASURED {
                    executor.execute(Arc::clone(&delivery)).await;
                    done += 1;
                }
                done
            })
        })
        .collect();
    let mut done = 0;
    for caller in callers {
        done += caller.await.expect("a caller");
    }
    let per = |time: Duration| f64::from(done) / time.as_secs_f64();
    println!(
        "{:<5} {at_once:>3} at once: {:>8.0}/s, per CPU second {:>8.0}, of the scripts' threads alone {:>8.0}",
        isolation.name(),
        per(began.elapsed()),
        per(process_cpu().saturating_sub(cpu)),
        per(scripts_cpu().saturating_sub(scripts)),
    );
}

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    for isolation in Isolation::ALL {
        for at_once in [1, 8, 64] {
            if words.iter().all(|word| *word == isolation.name() || *word == at_once.to_string()) {
                measure(isolation, at_once).await;
            }
        }
    }
}
