//! The executions per second of a no-op script in the executor, without a store and a queue. Each
//! row of [`ISOLATIONS`] is a way to isolate one execution from the next.

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
    AppStore as _, Deployment, DeploymentScript, Executor as _, PortError, PrincipalResolver, StartWait, TriggerStore,
};
use uuid::Uuid;

/// A way to isolate executions, and the series with its figures.
struct Row {
    series: &'static str,
    isolation: Isolation,
}

const SCRIPT: &str = "export default async function (event, ctx) {}";

/// All isolations of the executor.
const ISOLATIONS: &[Row] = &[
    Row { series: SCRIPTS_FRESH, isolation: Isolation::Fresh },
    Row { series: SCRIPTS_WARM, isolation: Isolation::Warm },
];

const NAME: &str = "noop";
const TRIGGER: &str = "go";
/// The number of concurrent executions for each core, so that no core waits for the next one. Two
/// cores have 64, the default number of permits.
const IN_FLIGHT_PER_CORE: usize = 32;
/// No execution waits this long for a thread.
const START_WAIT_MAX: Duration = Duration::from_secs(60);
/// The time before the clock starts. The executor creates its threads and reads the source.
const WARM_UP: Duration = Duration::from_millis(300);

pub(super) async fn run(context: &Context) -> anyhow::Result<Findings> {
    let time = context.effort.choose(Duration::from_secs(5), Duration::from_secs(2));
    let cores = std::thread::available_parallelism()?.get();
    let in_flight = cores * IN_FLIGHT_PER_CORE;
    let mut findings = Findings::default();
    for repeat in 1..=context.effort.repeats {
        for row in ISOLATIONS {
            context.progress.show(format!("scripts, {}, repeat {repeat}", row.series));
            let folder = context.folder.make()?;
            let store = Arc::new(SqliteStore::open(folder.join("scripts.db"), SqliteOptions::default()).await?);
            let (executor, trigger) = executor(&store, row.isolation).await?;
            let (executor, delivery) = (Arc::new(executor), Arc::new(delivery(trigger)?));
            executions(&executor, &delivery, in_flight, WARM_UP).await?;
            let (started_at, cpu) = (Instant::now(), cpu_time(std::process::id())?);
            let count = executions(&executor, &delivery, in_flight, time).await?;
            let (wall, cpu) =
                (started_at.elapsed().as_secs_f64(), cpu_time(std::process::id())?.saturating_sub(cpu).as_secs_f64());
            findings.add(row.series, Unit::PerSecond, count as f64 / wall / cores as f64);
            findings.add(&format!("{}, by CPU time", row.series), Unit::PerSecond, count as f64 / cpu);
            store.close().await;
            std::fs::remove_dir_all(folder)?;
        }
    }
    findings.note(format!(
        "{in_flight} executions are in flight, {IN_FLIGHT_PER_CORE} for each core. The figure is the executions per second of \
         wall time, divided by the number of cores; the cores also run the load generator. \"By CPU time\" divides by the CPU \
         time of this process, so that other programs do not count. Memory, stack, CPU and wall limits are the defaults."
    ));
    Ok(findings)
}

async fn executor(store: &Arc<SqliteStore>, isolation: Isolation) -> anyhow::Result<(ScriptExecutor, TriggerId)> {
    let script = DeploymentScript { name: ScriptName::new(NAME)?, source: SCRIPT.to_owned() };
    let trigger = serde_json::from_value(serde_json::json!({
        "name": TRIGGER, "match": {"source": "app", "type": TRIGGER}, "handler": {"script": NAME}, "isolation": isolation,
    }))?;
    let deployment = Deployment { scripts: vec![script], triggers: vec![trigger], renames: Vec::new() };
    let app = AppName::new("bench")?;
    store.deploy(&app, &deployment, &PrincipalId::new("admin")?).await?;
    let trigger = TriggerStore::get(&**store, &app, &TriggerName::new(TRIGGER)?).await?;
    let trigger = trigger.context("the deployed trigger does not exist")?.id;
    let (scripts, triggers, kv) = (Arc::clone(store) as _, Arc::clone(store) as _, Arc::clone(store) as _);
    let world = World { scripts, triggers, kv, principals: Arc::new(AdminResolver) };
    Ok((ScriptExecutor::new(world, Limits::default(), START_WAIT_MAX), trigger))
}

/// Runs executions for `time` with `in_flight` of them at any moment. Returns the number that
/// ended.
async fn executions(
    executor: &Arc<ScriptExecutor>,
    delivery: &Arc<Delivery>,
    in_flight: usize,
    time: Duration,
) -> anyhow::Result<usize> {
    let started_at = Instant::now();
    let one = || {
        let (executor, delivery) = (Arc::clone(executor), Arc::clone(delivery));
        tokio::spawn(async move { executor.execute(delivery, &StartWait::begin()).await })
    };
    let mut running: FuturesUnordered<_> = (0..in_flight).map(|_| one()).collect();
    let mut count = 0;
    while let Some(ended) = running.next().await {
        match ended? {
            Outcome::Succeeded { .. } => {}
            other => bail!("the script did not succeed: {other:?}"),
        }
        count += 1;
        if started_at.elapsed() < time {
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
        lost: 0,
        lease: Lease(1),
        due_at: Timestamp(0),
        enqueued_at: Timestamp(0),
        redrive_generation: 0,
        reply_to: None,
        handles_letter: None,
    })
}

/// Resolves every principal to an admin. The scenario does not measure permissions.
struct AdminResolver;

#[async_trait]
impl PrincipalResolver for AdminResolver {
    async fn resolve(&self, id: &PrincipalId) -> Result<Option<Principal>, PortError> {
        Ok(Some(Principal::admin(id.clone())))
    }
}
