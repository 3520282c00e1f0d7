//! The time from an emit to the start of its handler on an idle system. The clock starts before the
//! call of emit, so that the figure includes its commit.

use super::names::{ANOTHER_P50, ANOTHER_P99, SAME_P50, SAME_P99, SQLITE_P50, SQLITE_P99};
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

const TRIGGER: &str = "go";
/// The time between two emits. The poll interval is not a multiple of this time, so that emits fall
/// on different moments between two polls.
const PAUSE: Duration = Duration::from_micros(13_700);
/// The number of emits before the measured ones. They open connections and prepare plans.
const WARM_UP: usize = 50;

pub(super) async fn run(context: &Context) -> anyhow::Result<Findings> {
    let emits: usize = context.effort.choose(1_000, 250);
    let mut findings = Findings::default();
    for repeat in 1..=context.effort.repeats {
        let show = |case: &str| context.progress.show(format!("latency, {case}, repeat {repeat}"));
        let cluster = context.postgres().await?;
        let database = cluster.database().await?;

        show("the same daemon, on Postgres");
        let mut one = Node::<PgStore>::open(&database.url).await?;
        let handler = begin(&mut one).await?;
        let latencies_ms = emit(&one, &handler, emits).await?;
        add(&mut findings, SAME_P50, SAME_P99, &latencies_ms)?;
        one.stop().await?;

        show("another daemon, on Postgres");
        let (emitting, mut other) =
            (Node::<PgStore>::open(&database.url).await?, Node::<PgStore>::open(&database.url).await?);
        let handler = begin(&mut other).await?;
        let latencies_ms = emit(&emitting, &handler, emits).await?;
        add(&mut findings, ANOTHER_P50, ANOTHER_P99, &latencies_ms)?;
        emitting.stop().await?;
        other.stop().await?;
        cluster.remove(database).await?;

        show("on SQLite");
        let folder = context.folder.make()?;
        let mut one = Node::<SqliteStore>::open(&folder.join("tidegate.db")).await?;
        let handler = begin(&mut one).await?;
        let latencies_ms = emit(&one, &handler, emits).await?;
        add(&mut findings, SQLITE_P50, SQLITE_P99, &latencies_ms)?;
        one.stop().await?;
        std::fs::remove_dir_all(folder)?;
    }
    findings.note(format!(
        "{emits} emits, one every {PAUSE:?}. A latency begins before the call of emit, so that it includes the commit, and ends \
         with the start of the handler. In the case of another daemon, the emitting daemon has no dispatcher, and the other \
         one receives a notification by LISTEN/NOTIFY."
    ));
    Ok(findings)
}

/// Starts the dispatcher of `node` with a latency probe as its handler.
async fn begin<S: Store>(node: &mut Node<S>) -> anyhow::Result<Arc<LatencyProbe>> {
    node.within(|store| async move { App::deploy(&*store, &[TRIGGER]).await }).await?;
    let handler = Arc::new(LatencyProbe::new(TRIGGER, Duration::ZERO));
    node.dispatch(Config::default(), Arc::clone(&handler), Tally::default());
    Ok(handler)
}

/// Emits through the emitter of the daemon and waits until all events are handled.
async fn emit<S: Store>(node: &Node<S>, handler: &Arc<LatencyProbe>, emits: usize) -> anyhow::Result<Vec<f64>> {
    let (wake, handler) = (node.wake.clone(), Arc::clone(handler));
    node.within(move |store| async move {
        let app = App::deploy(&*store, &[TRIGGER]).await?;
        let emitter = OutboxEventEmitter::new(store, wake);
        for (index, count) in [WARM_UP, emits].into_iter().enumerate() {
            for _ in 0..count {
                emitter.emit(app.emission(TRIGGER, vec![handler.stamp()?])?).await?;
                tokio::time::sleep(PAUSE).await;
            }
            handler.wait_for(count).await?;
            if index == 0 {
                handler.take();
            }
        }
        Ok(handler.take())
    })
    .await
}

fn add(findings: &mut Findings, p50: &str, p99: &str, latencies_ms: &[f64]) -> anyhow::Result<()> {
    for (series, percent) in [(p50, 50.0), (p99, 99.0)] {
        findings.add(series, Unit::Millis, percentile(latencies_ms, percent).context("no event was handled")?);
    }
    Ok(())
}
