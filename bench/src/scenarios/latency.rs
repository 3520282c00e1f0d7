//! From emit to handler start while there is nothing else to do. The clock starts before the emit is called, so its
//! commit is in the figure.

use super::names::{ANOTHER_P50, ANOTHER_P99, SAME_P50, SAME_P99, SQLITE_P50, SQLITE_P99};
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

const TRIGGER: &str = "go";
/// Between two emits; with a remainder to the poll interval, so that not each falls on the same moment of it.
const PAUSE: Duration = Duration::from_micros(13_700);
/// Emits before the measured ones: connections and plans are made.
const WARM_UP: usize = 50;

pub(super) async fn run(context: &Context) -> anyhow::Result<Findings> {
    let emits: usize = context.effort.of(1_000, 250);
    let mut findings = Findings::default();
    for repeat in 1..=context.effort.repeats {
        let says = |what: &str| context.progress.says(format!("latency, {what}, repeat {repeat}"));
        let cluster = context.postgres().await?;
        let database = cluster.database().await?;

        says("the same daemon, on Postgres");
        let mut one = Node::<PgStore>::open(&database.url).await?;
        let handler = begin(&mut one).await?;
        let waited = emit(&one, &handler, emits).await?;
        add(&mut findings, SAME_P50, SAME_P99, &waited)?;
        one.stop().await?;

        says("another daemon, on Postgres");
        let (emitting, mut other) =
            (Node::<PgStore>::open(&database.url).await?, Node::<PgStore>::open(&database.url).await?);
        let handler = begin(&mut other).await?;
        let waited = emit(&emitting, &handler, emits).await?;
        add(&mut findings, ANOTHER_P50, ANOTHER_P99, &waited)?;
        emitting.stop().await?;
        other.stop().await?;
        cluster.remove(database).await?;

        says("on SQLite");
        let folder = context.folder.make()?;
        let mut one = Node::<SqliteStore>::open(&folder.join("tidegate.db")).await?;
        let handler = begin(&mut one).await?;
        let waited = emit(&one, &handler, emits).await?;
        add(&mut findings, SQLITE_P50, SQLITE_P99, &waited)?;
        one.stop().await?;
        std::fs::remove_dir_all(folder)?;
    }
    findings.note(format!(
        "{emits} emits, one each {PAUSE:?}. From before the call of emit, so with its commit, until the handler is called. \
         Another daemon hears of it by LISTEN/NOTIFY: the one that emits dispatches nothing."
    ));
    Ok(findings)
}

/// Starts the dispatcher of `node` with a handler that takes the time.
async fn begin<S: Store>(node: &mut Node<S>) -> anyhow::Result<Arc<Clocked>> {
    node.within(|store| async move { App::deploy(&*store, &[TRIGGER]).await }).await?;
    let handler = Arc::new(Clocked::of(TRIGGER, Duration::ZERO));
    node.dispatch(Config::default(), Arc::clone(&handler), Tally::default());
    Ok(handler)
}

/// Emits through the daemon's own emitter and waits until all were handled.
async fn emit<S: Store>(node: &Node<S>, handler: &Arc<Clocked>, emits: usize) -> anyhow::Result<Vec<f64>> {
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

fn add(findings: &mut Findings, p50: &str, p99: &str, waited: &[f64]) -> anyhow::Result<()> {
    for (series, percent) in [(p50, 50.0), (p99, 99.0)] {
        findings.add(series, Unit::Millis, percentile(waited, percent).context("nothing was handled")?);
    }
    Ok(())
}
