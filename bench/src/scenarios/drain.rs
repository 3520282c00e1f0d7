//! How fast one daemon drains a backlog when its handlers cost nothing: what is left is the price of the queue.
//!
//! The backlog is emitted before, through the store. The clock runs from the moment when the dispatcher is started until
//! the last settlement is answered; then the table must be empty. Limit and figure take turns.

use super::names::PART_OF_RAW;
use crate::context::Context;
use crate::findings::{Findings, Unit};
use crate::harness::{App, Node, Noop, Store, Tally};
use crate::limits::{BATCHES, on_sqlite, postgres_exchange, sqlite_exchange};
use crate::sql;
use anyhow::ensure;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tidegate_core::{Config, TriggerId};
use tidegate_io_postgres::PgStore;
use tidegate_io_sqlite::SqliteStore;

/// What was drained per second.
const DRAIN: &str = "drain";
/// What the raw loop drained per second, with the batch size that suited it better.
const RAW: &str = "raw loop, its better batch";
const TRIGGER: &str = "go";

pub(super) async fn postgres(context: &Context) -> anyhow::Result<Findings> {
    let rows: u32 = context.effort.of(200_000, 60_000);
    let cluster = context.postgres().await?;
    let mut findings = Findings::default();
    for repeat in 1..=context.effort.repeats {
        let mut best: f64 = 0.0;
        for batch in BATCHES {
            context.progress.says(format!("raw loop on Postgres, batches of {batch}, repeat {repeat}"));
            let database = cluster.database().await?;
            let rate = postgres_exchange(&database, rows, batch).await?;
            cluster.remove(database).await?;
            findings.add(&format!("raw loop, batch {batch}"), Unit::PerSecond, rate);
            best = best.max(rate);
        }
        findings.add(RAW, Unit::PerSecond, best);

        findings.add(DRAIN, Unit::PerSecond, postgres_once(context, rows, repeat).await?);
    }
    Ok(with_notes(findings, rows))
}

/// A backlog of `rows` on a database of its own; deliveries per second.
pub(super) async fn postgres_once(context: &Context, rows: u32, repeat: u32) -> anyhow::Result<f64> {
    let cluster = context.postgres().await?;
    let database = cluster.database().await?;
    let node = Node::<PgStore>::open(&database.url).await?;
    let lane = fill(context, &node, rows, &format!("Postgres, repeat {repeat}")).await?;
    database.settle_down().await?;
    let rate = drain(context, vec![node], lane, rows).await?;
    let left = database.outbox_count().await?;
    ensure!(left == 0, "{left} rows are left in the outbox after the drain");
    cluster.remove(database).await?;
    Ok(rate)
}

pub(super) async fn sqlite(context: &Context) -> anyhow::Result<Findings> {
    let rows: u32 = context.effort.of(200_000, 60_000);
    let mut findings = Findings::default();
    for repeat in 1..=context.effort.repeats {
        let folder = context.folder.make()?;
        let mut best: f64 = 0.0;
        for batch in BATCHES {
            context.progress.says(format!("raw loop on SQLite, batches of {batch}, repeat {repeat}"));
            let rate = sqlite_exchange(&folder.join(format!("raw-{batch}.db")), rows, batch).await?;
            findings.add(&format!("raw loop, batch {batch}"), Unit::PerSecond, rate);
            best = best.max(rate);
        }
        findings.add(RAW, Unit::PerSecond, best);

        let path = folder.join("tidegate.db");
        let node = Node::<SqliteStore>::open(&path).await?;
        let lane = fill(context, &node, rows, &format!("SQLite, repeat {repeat}")).await?;
        findings.add(DRAIN, Unit::PerSecond, drain(context, vec![node], lane, rows).await?);
        let left = sqlite_outbox_count(&path).await?;
        ensure!(left == 0, "{left} rows are left in the outbox after the drain");
        std::fs::remove_dir_all(folder)?;
    }
    Ok(with_notes(findings, rows))
}

fn with_notes(mut findings: Findings, rows: u32) -> Findings {
    findings.add_ratio(PART_OF_RAW, DRAIN, RAW);
    findings.pair(DRAIN, RAW);
    findings.note(format!(
        "{rows} events of one trigger, emitted before the clock starts; the table is empty when it stops. Dispatcher, \
         handlers and database share the machine's cores; the raw loop has them for the database and one client."
    ));
    findings.note(
        "The raw loop keeps no retry policy, no chain of events, no standing of principals, and returns fewer columns: it \
         is a limit, not a queue.",
    );
    findings
}

/// Emits `rows` events through the node's store; the lane where they wait.
pub(super) async fn fill<S: Store>(
    context: &Context,
    node: &Node<S>,
    rows: u32,
    where_to: &str,
) -> anyhow::Result<TriggerId> {
    let progress = context.progress.clone();
    progress.counts(format!("emitting to {where_to}"), u64::from(rows));
    node.within(move |store| async move {
        let app = App::deploy(&*store, &[TRIGGER]).await?;
        app.emit_many(&*store, TRIGGER, rows as usize, |some| progress.adds(some)).await?;
        app.lane(&*store, TRIGGER).await
    })
    .await
}

/// Starts all nodes' dispatchers at once; deliveries per second, until the last settlement is answered.
pub(super) async fn drain<S: Store>(
    context: &Context,
    mut nodes: Vec<Node<S>>,
    lane: TriggerId,
    rows: u32,
) -> anyhow::Result<f64> {
    let tally = Tally::until(u64::from(rows));
    context.progress.counts("draining", u64::from(rows));
    let begun = Instant::now();
    for node in &mut nodes {
        node.dispatch(Config::default(), Arc::new(Noop), tally.clone());
        node.wake.wake([lane]);
    }
    tally.reached(|done| context.progress.is_at(done)).await?;
    let took = begun.elapsed();
    for node in nodes {
        node.stop().await?;
    }
    Ok(f64::from(rows) / took.as_secs_f64())
}

/// Rows in the outbox of a file that nobody has open.
pub async fn sqlite_outbox_count(path: &Path) -> anyhow::Result<i64> {
    on_sqlite(path, |client| Ok(client.query_row(sql::sqlite_outbox_count, (), |row| row.get(0))?)).await
}
