//! Measures the throughput of a script that does nothing:
//! `cargo run --release -p tidegate-exec-script --example measure`.
//!
//! The rates are per second of CPU time, of the whole process and of the threads that run scripts.
//! So other work of the machine changes them little. `measure warm 8` prints one line only, for a
//! profiler.

use async_trait::async_trait;
use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_core::*;
use tidegate_exec_script::{Limits, ScriptExecutor, World};
use tidegate_ports::{
    Executor, Guard, KvEntries, KvEntry, KvMutation, KvPage, KvStore, PortError, PrincipalResolver, Script,
    ScriptStore, StartWait, TriggerStore,
};

/// The duration of each measurement.
const DURATION: Duration = Duration::from_secs(2);

/// No execution waits this long for a thread.
const START_WAIT_MAX: Duration = Duration::from_secs(60);

/// All ports of the executor. The trigger has this isolation.
struct FakePorts(Isolation);

const UNUSED: &str = "the executor does not call this";

#[async_trait]
impl PrincipalResolver for FakePorts {
    async fn resolve(&self, id: &PrincipalId) -> Result<Option<Principal>, PortError> {
        Ok(Some(Principal::admin(id.clone())))
    }
}

#[async_trait]
impl ScriptStore for FakePorts {
    async fn list(&self, _: &AppName) -> Result<Vec<Script>, PortError> {
        panic!("{UNUSED}")
    }

    async fn get(&self, _: &AppName, name: &ScriptName) -> Result<Option<Script>, PortError> {
        let source = "export default async () => {}".to_owned();
        Ok(Some(Script { name: name.clone(), version: 1, source, updated_at: Timestamp(0) }))
    }

    async fn put(&self, _: &AppName, _: &ScriptName, _: &str) -> Result<Script, PortError> {
        panic!("{UNUSED}")
    }

    async fn delete(&self, _: &AppName, _: &ScriptName) -> Result<bool, PortError> {
        panic!("{UNUSED}")
    }
}

#[async_trait]
impl TriggerStore for FakePorts {
    async fn list(&self, _: &AppName) -> Result<Vec<Trigger>, PortError> {
        panic!("{UNUSED}")
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
        panic!("{UNUSED}")
    }

    async fn delete(&self, _: &AppName, _: &TriggerName) -> Result<bool, PortError> {
        panic!("{UNUSED}")
    }

    async fn set_paused(&self, _: &AppName, _: &TriggerName, _: bool) -> Result<Option<Trigger>, PortError> {
        panic!("{UNUSED}")
    }
}

#[async_trait]
impl KvStore for FakePorts {
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
        panic!("{UNUSED}")
    }

    async fn delete(
        &self,
        _: &AppName,
        _: &Collection,
        _: &Key,
        _: Guard,
        _: &Cause,
    ) -> Result<Option<KvMutation>, PortError> {
        panic!("{UNUSED}")
    }

    async fn list(&self, _: &AppName, _: &Collection, _: &KvPage) -> Result<KvEntries, PortError> {
        Ok(KvEntries::default())
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
        lost: 0,
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

/// The CPU time that the threads which run scripts have used so far.
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

async fn measure(isolation: Isolation, concurrency: usize) {
    let ports = Arc::new(FakePorts(isolation));
    let world = World {
        scripts: Arc::clone(&ports) as _,
        triggers: Arc::clone(&ports) as _,
        kv: Arc::clone(&ports) as _,
        principals: ports,
    };
    let executor = Arc::new(ScriptExecutor::new(world, Limits::default(), START_WAIT_MAX));
    let delivery = Arc::new(delivery());
    for _ in 0..100 {
        assert!(matches!(
            executor.execute(Arc::clone(&delivery), &StartWait::begin()).await,
            Outcome::Succeeded { .. }
        ));
    }
    let (began, cpu, scripts) = (Instant::now(), process_cpu(), scripts_cpu());
    let callers: Vec<_> = (0..concurrency)
        .map(|_| {
            let (executor, delivery) = (Arc::clone(&executor), Arc::clone(&delivery));
            tokio::spawn(async move {
                let mut done = 0_u32;
                while began.elapsed() < DURATION {
                    executor.execute(Arc::clone(&delivery), &StartWait::begin()).await;
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
        "{:<5} {concurrency:>3} at once: {:>8.0}/s, per CPU second {:>8.0}, of the script threads alone {:>8.0}",
        isolation.name(),
        per(began.elapsed()),
        per(process_cpu().saturating_sub(cpu)),
        per(scripts_cpu().saturating_sub(scripts)),
    );
}

#[tokio::main]
async fn main() {
    let filters: Vec<String> = std::env::args().skip(1).collect();
    for isolation in Isolation::ALL {
        for concurrency in [1, 8, 64] {
            if filters.iter().all(|filter| *filter == isolation.name() || *filter == concurrency.to_string()) {
                measure(isolation, concurrency).await;
            }
        }
    }
}
