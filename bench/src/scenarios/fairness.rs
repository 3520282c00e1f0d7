//! Rows of one or more triggers wait for a slow handler. Another trigger gets a row every 100 ms.
//! The scenario measures the latency of that trigger and compares it with an empty outbox.

use super::backlog::{fill_postgres, fill_sqlite};
use super::names::{FAIRNESS_POSTGRES, FAIRNESS_POSTGRES_EIGHT, FAIRNESS_SQLITE, FAIRNESS_SQLITE_EIGHT};
use crate::context::Context;
use crate::findings::{Findings, Unit};
use crate::harness::{App, LatencyProbe, Node, Store, Tally};
use crate::stats::percentile;
use anyhow::Context as _;
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::{Config, TriggerId};
use tidegate_io_postgres::PgStore;
use tidegate_io_sqlite::SqliteStore;
use tidegate_ports::{EventEmitter as _, OutboxEventEmitter};

const RARE: &str = "rare";
/// The numbers of busy triggers. The first measurement has none.
const BUSY_TRIGGERS: [u32; 5] = [0, 1, 2, 8, 64];
/// The rows of several busy triggers together: more than their handlers finish in time.
const MANY_TRIGGERS_ROWS: u32 = 64_000;
/// The duration of the handler of a busy trigger.
const SLOW: Duration = Duration::from_millis(100);
/// The time between two events of the rare trigger.
const PAUSE: Duration = Duration::from_millis(100);
/// After this time the gate is full and the first handlers have ended.
const WARM_UP: Duration = Duration::from_secs(2);

pub(super) async fn run(context: &Context) -> anyhow::Result<Findings> {
    let rows: u32 = context.effort.choose(1_000_000, 100_000);
    let events: usize = context.effort.choose(300, 60);
    let mut findings = Findings::default();
    for repeat in 1..=context.effort.repeats {
        for busy in BUSY_TRIGGERS {
            let (name, rows) = (series(busy), if busy == 1 { rows } else { rows.min(MANY_TRIGGERS_ROWS) });
            context.progress.show(format!("fairness on Postgres, {name}, repeat {repeat}"));
            let latencies_ms = on_postgres(context, busy, rows, events).await?;
            add(&mut findings, &format!("Postgres: {name}"), &latencies_ms)?;
            context.progress.show(format!("fairness on SQLite, {name}, repeat {repeat}"));
            let latencies_ms = on_sqlite(context, busy, rows, events).await?;
            add(&mut findings, &format!("SQLite: {name}"), &latencies_ms)?;
        }
        for (store, one, eight) in [
            ("Postgres", FAIRNESS_POSTGRES, FAIRNESS_POSTGRES_EIGHT),
            ("SQLite", FAIRNESS_SQLITE, FAIRNESS_SQLITE_EIGHT),
        ] {
            let last = |busy: u32| findings.samples(&format!("{store}: {}, p99", series(busy))).last().copied();
            let more = |busy| last(busy).zip(last(0)).map_or(f64::NAN, |(beside, alone)| beside - alone);
            let (beside_one, beside_eight) = (more(1), more(2).max(more(8)));
            findings.add(one, Unit::Millis, beside_one);
            findings.add(eight, Unit::Millis, beside_eight);
        }
    }
    findings.note(format!(
        "{rows} rows of one trigger, or {MANY_TRIGGERS_ROWS} rows of several, wait for a handler that takes {SLOW:?}. The other \
         trigger gets {events} events, one every {PAUSE:?}. The gate has 64 permits, the default. A latency begins before the \
         emit and ends with the start of the handler. 64 triggers use all permits, so the other trigger waits for the end of \
         a handler."
    ));
    Ok(findings)
}

/// The name of the measurement beside `busy` busy triggers.
fn series(busy: u32) -> String {
    match busy {
        0 => "alone".to_owned(),
        1 => "beside".to_owned(),
        more => format!("beside {more}"),
    }
}

fn busy_names(busy: u32) -> Vec<String> {
    (0..busy).map(|number| format!("busy-{number}")).collect()
}

async fn on_postgres(context: &Context, busy: u32, rows: u32, events: usize) -> anyhow::Result<Vec<f64>> {
    let cluster = context.postgres().await?;
    let database = cluster.database().await?;
    let node = Node::<PgStore>::open(&database.url).await?;
    for lane in node.within(move |store| lanes(store, busy)).await? {
        fill_postgres(context, &database, lane, rows / busy).await?;
    }
    database.vacuum_and_checkpoint().await?;
    let latencies_ms = measure(node, events).await?;
    cluster.remove(database).await?;
    Ok(latencies_ms)
}

async fn on_sqlite(context: &Context, busy: u32, rows: u32, events: usize) -> anyhow::Result<Vec<f64>> {
    let folder = context.folder.make()?;
    let path = folder.join("tidegate.db");
    let node = Node::<SqliteStore>::open(&path).await?;
    node.within(move |store| lanes(store, busy)).await?;
    node.stop().await?;
    for trigger in busy_names(busy) {
        fill_sqlite(context, &path, trigger, rows / busy).await?;
    }
    let latencies_ms = measure(Node::<SqliteStore>::open(&path).await?, events).await?;
    std::fs::remove_dir_all(folder)?;
    Ok(latencies_ms)
}

/// Deploys the triggers. Returns the lanes of the busy ones.
async fn lanes<S: Store>(store: Arc<S>, busy: u32) -> anyhow::Result<Vec<TriggerId>> {
    let names = busy_names(busy);
    let triggers: Vec<&str> = names.iter().map(String::as_str).chain([RARE]).collect();
    let app = App::deploy(&*store, &triggers).await?;
    let mut lanes = Vec::new();
    for name in &names {
        lanes.push(app.lane(&*store, name).await?);
    }
    Ok(lanes)
}

/// The latencies of the events of the rare trigger.
async fn measure<S: Store>(mut node: Node<S>, events: usize) -> anyhow::Result<Vec<f64>> {
    let handler = Arc::new(LatencyProbe::new(RARE, SLOW));
    node.dispatch(Config::default(), Arc::clone(&handler), Tally::default());
    node.wake.wake_for_discovery();
    let (wake, probe) = (node.wake.clone(), Arc::clone(&handler));
    let latencies_ms = node.within(move |store| async move {
        let app = App::deployed()?;
        let emitter = OutboxEventEmitter::new(store, wake);
        let emit = async |count: usize| {
            for _ in 0..count {
                emitter.emit(app.emission(RARE, vec![probe.stamp()?])?).await?;
                tokio::time::sleep(PAUSE).await;
            }
            probe.wait_for(count).await?;
            anyhow::Ok(probe.take())
        };
        emit((WARM_UP.as_millis() / PAUSE.as_millis()) as usize).await?;
        emit(events).await
    });
    let latencies_ms = latencies_ms.await?;
    node.stop().await?;
    Ok(latencies_ms)
}

fn add(findings: &mut Findings, name: &str, latencies_ms: &[f64]) -> anyhow::Result<()> {
    for percent in [50.0, 99.0] {
        let value = percentile(latencies_ms, percent).context("no event was handled")?;
        findings.add(&format!("{name}, p{percent}"), Unit::Millis, value);
    }
    Ok(())
}
