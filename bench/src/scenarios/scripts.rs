//! How many times per second a script that does nothing is run, by the executor alone: no store call, no queue. Each row
//! of [`ISOLATIONS`] is a way to isolate one execution from the next.

use super::names::SCRIPTS_FRESH;
use crate::context::Context;
use crate::findings::{Findings, Unit};
use crate::process::cpu_time;
use anyhow::bail;
use async_trait::async_trait;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_core::{
    AppName, Delivery, DeliveryId, Event, EventId, EventType, Handler, Json, Lease, Micros, Outcome, Principal,
    PrincipalId, RetryPolicy, ScriptName, Source, Standing, Subject, Timestamp, TriggerId, TriggerName,
};
use tidegate_driver::{AppStore as _, Deployment, DeploymentScript, Executor as _, PortError, PrincipalResolver};
use tidegate_exec_script::{Limits, ScriptExecutor};
use tidegate_io_sqlite::{SqliteOptions, SqliteStore};
use uuid::Uuid;

/// A way to isolate executions: the series that it is measured as, and the script that is run.
struct Isolation {
    series: &'static str,
    script: &'static str,
}

/// All that the executor offers.
const ISOLATIONS: &[Isolation] =
    &[Isolation { series: SCRIPTS_FRESH, script: "export default async function (event, ctx) {}" }];

const NAME: &str = "noop";
/// Before the clock starts: threads are made, the source is read.
const WARM_UP: Duration = Duration::from_millis(300);

pub(super) async fn run(context: &Context) -> anyhow::Result<Findings> {
    let time = context.effort.of(Duration::from_secs(5), Duration::from_secs(2));
    let cores = std::thread::available_parallelism()?.get();
    let mut findings = Findings::default();
    for repeat in 1..=context.effort.repeats {
        for isolation in ISOLATIONS {
            context.progress.says(format!("scripts, {}, repeat {repeat}", isolation.series));
            let folder = context.folder.make()?;
            let store = Arc::new(SqliteStore::open(folder.join("scripts.db"), SqliteOptions::default()).await?);
            let executor = Arc::new(executor(&store, isolation).await?);
            let delivery = Arc::new(delivery()?);
            executions(&executor, &delivery, cores, WARM_UP).await?;
            let (begun, cpu) = (Instant::now(), cpu_time(std::process::id())?);
            let count = executions(&executor, &delivery, cores, time).await?;
            let (wall, cpu) =
                (begun.elapsed().as_secs_f64(), cpu_time(std::process::id())?.saturating_sub(cpu).as_secs_f64());
            findings.add(isolation.series, Unit::PerSecond, count as f64 / wall / cores as f64);
            findings.add(&format!("{}, by CPU time", isolation.series), Unit::PerSecond, count as f64 / cpu);
            store.close().await;
            std::fs::remove_dir_all(folder)?;
        }
    }
    findings.note(format!(
        "One execution per core at a time ({cores}), each to its end before the next; the figure is all of them by the wall clock, \
         divided by the cores. By CPU time: by what this process used of it, so without what others took. Memory, stack, \
         CPU and wall limits are the defaults."
    ));
    Ok(findings)
}

async fn executor(store: &Arc<SqliteStore>, isolation: &Isolation) -> anyhow::Result<ScriptExecutor> {
    let script = DeploymentScript { name: ScriptName::new(NAME)?, source: isolation.script.to_owned() };
    let deployment = Deployment { scripts: vec![script], triggers: Vec::new() };
    store.deploy(&AppName::new("bench")?, &deployment, &PrincipalId::new("admin")?).await?;
    let (scripts, kv) = (Arc::clone(store) as _, Arc::clone(store) as _);
    Ok(ScriptExecutor::new(scripts, kv, Arc::new(Everybody), Limits::default()))
}

/// How many executions ended within `time`, `at_once` of them at any moment.
async fn executions(
    executor: &Arc<ScriptExecutor>,
    delivery: &Arc<Delivery>,
    at_once: usize,
    time: Duration,
) -> anyhow::Result<usize> {
    let begun = Instant::now();
    let one = || {
        let (executor, delivery) = (Arc::clone(executor), Arc::clone(delivery));
        tokio::spawn(async move { executor.execute(delivery).await })
    };
    let mut running: FuturesUnordered<_> = (0..at_once).map(|_| one()).collect();
    let mut count = 0;
    while let Some(ended) = running.next().await {
        if let Outcome::Failed(failure) = ended? {
            bail!("the script failed: {}: {}", failure.error, failure.message);
        }
        count += 1;
        if begun.elapsed() < time {
            running.push(one());
        }
    }
    Ok(count)
}

fn delivery() -> anyhow::Result<Delivery> {
    let id = EventId(Uuid::from_u128(1));
    let admin = PrincipalId::new("admin")?;
    Ok(Delivery {
        id: DeliveryId(1),
        trigger_id: TriggerId(1),
        trigger_name: TriggerName::new("go")?,
        trigger_version: 1,
        event: Event {
            id,
            app: AppName::new("bench")?,
            source: Source::App,
            event_type: EventType::new("go")?,
            subject: Subject::new("order/1")?,
            time: Timestamp(0),
            data: Json::parse(crate::harness::SMALL)?,
            actor: admin.clone(),
            root_id: id,
            parent_id: None,
            depth: 0,
            traceparent: None,
        },
        handler: Some(Handler::Script(ScriptName::new(NAME)?)),
        script_version: Some(1),
        runs_as: admin,
        standing: Standing::Allowed,
        policy: RetryPolicy::default(),
        timeout: Micros::from_secs(30),
        attempt: 1,
        lease: Lease(1),
        due_at: Timestamp(0),
        enqueued_at: Timestamp(0),
        redrive_generation: 0,
        reply_to: None,
        handles_letter: None,
    })
}

/// Everybody is an admin: who may run what is not measured here.
struct Everybody;

#[async_trait]
impl PrincipalResolver for Everybody {
    async fn resolve(&self, id: &PrincipalId) -> Result<Option<Principal>, PortError> {
        Ok(Some(Principal::admin(id.clone())))
    }
}
