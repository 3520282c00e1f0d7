//! One trigger has a million rows waiting on a slow handler; another gets a row every 100 ms. How long does the second
//! one wait for its handler, against being alone?

use super::backlog::{fill_postgres, fill_sqlite};
use super::names::{FAIRNESS_POSTGRES, FAIRNESS_SQLITE};
use crate::context::Context;
use crate::findings::{Findings, Unit};
use crate::harness::{App, Clocked, Node, Store, Tally};
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
/// How long the busy trigger's handler takes.
const SLOW: Duration = Duration::from_millis(100);
/// Between two events of the rare trigger.
const PAUSE: Duration = Duration::from_millis(100);
/// Until the gate is full and the first handlers have ended.
const WARM_UP: Duration = Duration::from_secs(2);

pub(super) async fn run(context: &Context) -> anyhow::Result<Findings> {
    let rows: u32 = context.effort.of(1_000_000, 100_000);
    let events: usize = context.effort.of(300, 60);
    let mut findings = Findings::default();
    for repeat in 1..=context.effort.repeats {
        for (waiting, name) in [(0, "alone"), (rows, "beside")] {
            context.progress.says(format!("fairness on Postgres, {name}, repeat {repeat}"));
            let cluster = context.postgres().await?;
            let database = cluster.database().await?;
            let node = Node::<PgStore>::open(&database.url).await?;
            let lane = node.within(lane).await?;
            fill_postgres(&database, lane, waiting).await?;
            database.settle_down().await?;
            add(&mut findings, &format!("Postgres: {name}"), &measure(node, events).await?)?;
            cluster.remove(database).await?;
        }
        for (waiting, name) in [(0, "alone"), (rows, "beside")] {
            context.progress.says(format!("fairness on SQLite, {name}, repeat {repeat}"));
            let folder = context.folder.make()?;
            let path = folder.join("tidegate.db");
            let node = Node::<SqliteStore>::open(&path).await?;
            let lane = node.within(lane).await?;
            node.stop().await?;
            fill_sqlite(&path, lane, waiting).await?;
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
        "{rows} rows of one trigger wait on a handler that takes {SLOW:?}; the other trigger gets {events} events, one each \
         {PAUSE:?}; 64 permits, as by default. From before the emit until the handler starts."
    ));
    Ok(findings)
}

async fn lane<S: Store>(store: Arc<S>) -> anyhow::Result<tidegate_core::TriggerId> {
    let app = App::deploy(&*store, &[BUSY, RARE]).await?;
    app.lane(&*store, BUSY).await
}

/// How long the rare trigger's events waited.
async fn measure<S: Store>(mut node: Node<S>, events: usize) -> anyhow::Result<Vec<f64>> {
    let handler = Arc::new(Clocked::of(RARE, SLOW));
    node.dispatch(Config::default(), Arc::clone(&handler), Tally::default());
    node.wake.wake_for_discovery();
    let (wake, clocked) = (node.wake.clone(), Arc::clone(&handler));
    let waited = node.within(move |store| async move {
        let app = App::deploy(&*store, &[BUSY, RARE]).await?;
        let emitter = OutboxEventEmitter::new(store, wake);
        let emit = async |count: usize| {
            for _ in 0..count {
                emitter.emit(app.emission(RARE, vec![clocked.stamp()?])?).await?;
                tokio::time::sleep(PAUSE).await;
            }
            clocked.wait_for(count).await?;
            anyhow::Ok(clocked.take())
        };
        emit((WARM_UP.as_millis() / PAUSE.as_millis()) as usize).await?;
        emit(events).await
    });
    let waited = waited.await?;
    node.stop().await?;
    Ok(waited)
}

fn add(findings: &mut Findings, name: &str, waited: &[f64]) -> anyhow::Result<()> {
    for percent in [50.0, 99.0] {
        let value = percentile(waited, percent).context("nothing was handled")?;
        findings.add(&format!("{name}, p{percent}"), Unit::Millis, value);
    }
    Ok(())
}
