//! A million rows of one trigger wait for a slow handler. Another trigger gets a row every 100 ms.
//! The scenario measures the latency of the second trigger and compares it with an empty outbox.

use super::backlog::{fill_postgres, fill_sqlite};
use super::names::{FAIRNESS_POSTGRES, FAIRNESS_SQLITE};
use crate::context::Context;
use crate::findings::{Findings, Unit};
use crate::harness::{App, LatencyProbe, Node, Store, Tally};
use crate::stats::percentile;
use anyhow::Context as _;
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::Config;
use tidegate_io_postgres::PgStore;
use tidegate_io_sqlite::SqliteStore;
use tidegate_ports::{EventEmitter as _, OutboxEventEmitter};

const BUSY: &str = "busy";
const RARE: &str = "rare";
/// The duration of the handler of the busy trigger.
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
        for (waiting, name) in [(0, "alone"), (rows, "beside")] {
            let cluster = context.postgres().await?;
            let database = cluster.database().await?;
            let node = Node::<PgStore>::open(&database.url).await?;
            let lane = node.within(lane).await?;
            fill_postgres(context, &database, lane, waiting).await?;
            database.vacuum_and_checkpoint().await?;
            context.progress.show(format!("fairness on Postgres, {name}, repeat {repeat}"));
            add(&mut findings, &format!("Postgres: {name}"), &measure(node, events).await?)?;
            cluster.remove(database).await?;
        }
        for (waiting, name) in [(0, "alone"), (rows, "beside")] {
            let folder = context.folder.make()?;
            let path = folder.join("tidegate.db");
            let node = Node::<SqliteStore>::open(&path).await?;
            node.within(lane).await?;
            node.stop().await?;
            fill_sqlite(context, &path, BUSY, waiting).await?;
            context.progress.show(format!("fairness on SQLite, {name}, repeat {repeat}"));
            add(
                &mut findings,
                &format!("SQLite: {name}"),
                &measure(Node::<SqliteStore>::open(&path).await?, events).await?,
            )?;
            std::fs::remove_dir_all(folder)?;
        }
        for (store, series) in [("Postgres", FAIRNESS_POSTGRES), ("SQLite", FAIRNESS_SQLITE)] {
            let last = |name: &str| findings.samples(&format!("{store}: {name}, p99")).last().copied();
            let more = last("beside").zip(last("alone")).map_or(f64::NAN, |(beside, alone)| beside - alone);
            findings.add(series, Unit::Millis, more);
        }
    }
    findings.note(format!(
        "{rows} rows of one trigger wait for a handler that takes {SLOW:?}. The other trigger gets {events} events, one every \
         {PAUSE:?}. The gate has 64 permits, the default. A latency begins before the emit and ends with the start of the \
         handler."
    ));
    Ok(findings)
}

async fn lane<S: Store>(store: Arc<S>) -> anyhow::Result<tidegate_core::TriggerId> {
    let app = App::deploy(&*store, &[BUSY, RARE]).await?;
    app.lane(&*store, BUSY).await
}

/// The latencies of the events of the rare trigger.
async fn measure<S: Store>(mut node: Node<S>, events: usize) -> anyhow::Result<Vec<f64>> {
    let handler = Arc::new(LatencyProbe::new(RARE, SLOW));
    node.dispatch(Config::default(), Arc::clone(&handler), Tally::default());
    node.wake.wake_for_discovery();
    let (wake, probe) = (node.wake.clone(), Arc::clone(&handler));
    let latencies_ms = node.within(move |store| async move {
        let app = App::deploy(&*store, &[BUSY, RARE]).await?;
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
