//! How many times per second a script that does nothing is run, by the executor alone: no store call, no queue. Each row
//! of [`ISOLATIONS`] is a way to isolate one execution from the next.

use super::names::{SCRIPTS_FRESH, SCRIPTS_WARM};
use crate::context::Context;
use crate::findings::{Findings, Unit};
use crate::process::cpu_time;
use anyhow::{Context as _, bail};
use async_trait::async_trait;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_core::{
    AppName, Delivery, DeliveryId, Event, EventId, EventType, Handler, Isolation, Json, Lease, Micros, Outcome,
    Principal, PrincipalId, RetryPolicy, ScriptName, Source, Standing, Subject, Timestamp, TriggerId, TriggerName,
};
use tidegate_exec_script::{Limits, ScriptExecutor, World};
use tidegate_io_sqlite::{SqliteOptions, SqliteStore};
use tidegate_ports::{
    AppStore as _, Deployment, DeploymentScript, Executor as _, PortError, PrincipalResolver, TriggerStore,
};
use uuid::Uuid;

/// A way to isolate executions, and the series that it is measured as.
struct Row {
    series: &'static str,
    isolation: Isolation,
}

const SCRIPT: &str = "export default async function (event, ctx) {}";

/// All that the executor offers.
const ISOLATIONS: &[Row] = &[
    Row { series: SCRIPTS_FRESH, isolation: Isolation::Fresh },
    Row { series: SCRIPTS_WARM, isolation: Isolation::Warm },
];

const NAME: &str = "noop";
const TRIGGER: &str = "go";
/// So that no core waits for the next one to be handed over: two cores have as many as the gate has permits by default.
const AT_ONCE_PER_CORE: usize = 32;
/// Before the clock starts: threads are made, the source is read.
const WARM_UP: Duration = Duration::from_millis(300);

pub(super) async fn run(context: &Context) -> anyhow::Result<Findings> {
    let time = context.effort.of(Duration::from_secs(5), Duration::from_secs(2));
    let cores = std::thread::available_parallelism()?.get();
    let at_once = cores * AT_ONCE_PER_CORE;
    let mut findings = Findings::default();
    for repeat in 1..=context.effort.repeats {
        for row in ISOLATIONS {
            context.progress.says(format!("scripts, {}, repeat {repeat}", row.series));
            let folder = context.folder.make()?;
            let store = Arc::new(SqliteStore::open(folder.join("scripts.db"), SqliteOptions::default()).await?);
            let (executor, trigger) = executor(&store, row.isolation).await?;
            let (executor, delivery) = (Arc::new(executor), Arc::new(delivery(trigger)?));
            executions(&executor, &delivery, at_once, WARM_UP).await?;
            let (begun, cpu) = (Instant::now(), cpu_time(std::process::id())?);
            let count = executions(&executor, &delivery, at_once, time).await?;
            let (wall, cpu) =
                (begun.elapsed().as_secs_f64(), cpu_time(std::process::id())?.saturating_sub(cpu).as_secs_f64());
            findings.add(row.series, Unit::PerSecond, count as f64 / wall / cores as f64);
            findings.add(&format!("{}, by CPU time", row.series), Unit::PerSecond, count as f64 / cpu);
            store.close().await;
            std::fs::remove_dir_all(folder)?;
        }
    }
    findings.note(format!(
        "{at_once} executions at a time, {AT_ONCE_PER_CORE} for each core; the figure is all of them by the wall clock, divided \
         by the cores, which also do what hands them over. By CPU time: by what this process used of it, so without what others took. Memory, stack, \
         CPU and wall limits are the defaults."
    ));
    Ok(findings)
}

async fn executor(store: &Arc<SqliteStore>, isolation: Isolation) -> anyhow::Result<(ScriptExecutor, TriggerId)> {
    let script = DeploymentScript { name: ScriptName::new(NAME)?, source: SCRIPT.to_owned() };
    let trigger = serde_json::from_value(serde_json::json!({
        "name": TRIGGER, "match": {"source": "app", "type": TRIGGER}, "handler": {"script": NAME}, "isolation": isolation,
    }))?;
    let deployment = Deployment { scripts: vec![script], triggers: vec![trigger] };
    let app = AppName::new("bench")?;
    store.deploy(&app, &deployment, &PrincipalId::new("admin")?).await?;
    let trigger = TriggerStore::get(&**store, &app, &TriggerName::new(TRIGGER)?).await?;
    let trigger = trigger.context("the trigger was deployed")?.id;
    let (scripts, triggers, kv) = (Arc::clone(store) as _, Arc::clone(store) as _, Arc::clone(store) as _);
    let world = World { scripts, triggers, kv, principals: Arc::new(Everybody) };
    Ok((ScriptExecutor::new(world, Limits::default()), trigger))
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

fn delivery(trigger_id: TriggerId) -> anyhow::Result<Delivery> {
    let id = EventId(Uuid::from_u128(1));
    let admin = PrincipalId::new("admin")?;
    Ok(Delivery {
        id: DeliveryId(1),
        trigger_id,
        trigger_name: TriggerName::new(TRIGGER)?,
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
