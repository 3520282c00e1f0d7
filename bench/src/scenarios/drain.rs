//! The rate at which one daemon drains a backlog. The handlers cost nothing, so that the figure is
//! the cost of the queue.
//!
//! The scenario emits the backlog through the store first. The clock runs from the start of the
//! dispatcher until the answer to the last settlement; then the table must be empty. Limit and
//! figure alternate.

use super::names::{FEW_AGAINST_MANY, PART_OF_LEASES, PART_OF_RAW};
use crate::context::Context;
use crate::findings::{Findings, Unit};
use crate::harness::{App, Node, Noop, Store, Tally};
use crate::limits::{BATCHES, PostgresLoop, RawClaim, on_sqlite, postgres_exchange, sqlite_exchange};
use crate::sql;
use crate::stats::percentile;
use anyhow::{Context as _, ensure};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tidegate_core::{Config, TriggerId};
use tidegate_io_postgres::PgStore;
use tidegate_io_sqlite::SqliteStore;

/// The deliveries per second of Tidegate.
const DRAIN: &str = "drain";
/// The same for a tenth of the rows.
const DRAIN_FEW: &str = "drain of a tenth of the rows";
/// The rows per second of the raw loop, with the faster batch size.
const RAW: &str = "raw loop, faster batch size";
/// The rows per second of the raw loop that marks claimed rows, with the faster batch size.
const LEASES: &str = "raw loop with lease columns, faster batch size";
const TRIGGER: &str = "go";
/// A small backlog is drained this many times in each repeat, and the median counts: its drain
/// takes only a fraction of a second.
const SMALL_DRAINS: usize = 3;

pub(super) async fn postgres(context: &Context) -> anyhow::Result<Findings> {
    let rows: u32 = context.effort.choose(200_000, 60_000);
    let mut findings = Findings::default();
    for repeat in 1..=context.effort.repeats {
        raw_loops(context, &mut findings, rows, repeat).await?;
        findings.add(DRAIN, Unit::PerSecond, postgres_once(context, rows, repeat).await?);
        let mut few = Vec::new();
        for _ in 0..SMALL_DRAINS {
            few.push(postgres_once(context, rows / 10, repeat).await?);
        }
        add_few(&mut findings, &few)?;
    }
    findings.add_ratio(PART_OF_LEASES, DRAIN, LEASES);
    findings.pair(DRAIN, LEASES);
    findings.note(
        "The raw loops on Postgres have two connections. In the main one a claim is one row with the ids and places of its \
         rows, and the event is one encoded column. The other one updates the lease columns of each claimed row.",
    );
    Ok(with_notes(findings, rows))
}

/// Measures both raw loops on Postgres with each batch size.
async fn raw_loops(context: &Context, findings: &mut Findings, rows: u32, repeat: u32) -> anyhow::Result<()> {
    let cluster = context.postgres().await?;
    for (exchange_loop, name, series) in
        [(PostgresLoop::Claims, "raw loop", RAW), (PostgresLoop::Leases, "raw loop with lease columns", LEASES)]
    {
        let mut best: f64 = 0.0;
        for batch in BATCHES {
            context.progress.show(format!("{name} on Postgres, batches of {batch}, repeat {repeat}"));
            let database = cluster.database().await?;
            let rate = postgres_exchange(&database, exchange_loop, rows, batch).await?;
            cluster.remove(database).await?;
            findings.add(&format!("{name}, batch {batch}"), Unit::PerSecond, rate);
            best = best.max(rate);
        }
        findings.add(series, Unit::PerSecond, best);
    }
    Ok(())
}

/// Drains a backlog of `rows` on a new database. Returns the deliveries per second.
pub(super) async fn postgres_once(context: &Context, rows: u32, repeat: u32) -> anyhow::Result<f64> {
    let cluster = context.postgres().await?;
    let database = cluster.database().await?;
    let node = Node::<PgStore>::open(&database.url).await?;
    let lane = fill(context, &node, rows, &format!("Postgres, repeat {repeat}")).await?;
    database.vacuum_and_checkpoint().await?;
    let rate = drain(context, vec![node], lane, rows).await?;
    let left = database.outbox_count().await?;
    ensure!(left == 0, "{left} rows are left in the outbox after the drain");
    cluster.remove(database).await?;
    Ok(rate)
}

pub(super) async fn sqlite(context: &Context) -> anyhow::Result<Findings> {
    let rows: u32 = context.effort.choose(200_000, 60_000);
    let mut findings = Findings::default();
    for repeat in 1..=context.effort.repeats {
        let folder = context.folder.make()?;
        let mut best: f64 = 0.0;
        for batch in BATCHES {
            context.progress.show(format!("raw loop on SQLite, batches of {batch}, repeat {repeat}"));
            let path = folder.join(format!("raw-{batch}.db"));
            let rate = sqlite_exchange(&path, RawClaim::OneRow, rows, batch).await?;
            findings.add(&format!("raw loop, batch {batch}"), Unit::PerSecond, rate);
            best = best.max(rate);
            let path = folder.join(format!("raw-leases-{batch}.db"));
            let rate = sqlite_exchange(&path, RawClaim::Leases, rows, batch).await?;
            findings.add(&format!("raw loop with a lease in each row, batch {batch}"), Unit::PerSecond, rate);
        }
        findings.add(RAW, Unit::PerSecond, best);
        findings.add(DRAIN, Unit::PerSecond, sqlite_once(context, &folder.join("many.db"), rows, repeat).await?);
        let mut few = Vec::new();
        for index in 0..SMALL_DRAINS {
            few.push(sqlite_once(context, &folder.join(format!("few-{index}.db")), rows / 10, repeat).await?);
        }
        add_few(&mut findings, &few)?;
        std::fs::remove_dir_all(folder)?;
    }
    Ok(with_notes(findings, rows))
}

/// The same as [`postgres_once`] on the new file `path`.
async fn sqlite_once(context: &Context, path: &Path, rows: u32, repeat: u32) -> anyhow::Result<f64> {
    let node = Node::<SqliteStore>::open(&path.to_owned()).await?;
    let lane = fill(context, &node, rows, &format!("SQLite, repeat {repeat}")).await?;
    let rate = drain(context, vec![node], lane, rows).await?;
    let left = sqlite_outbox_count(path).await?;
    ensure!(left == 0, "{left} rows are left in the outbox after the drain");
    Ok(rate)
}

fn add_few(findings: &mut Findings, rates: &[f64]) -> anyhow::Result<()> {
    findings.add(DRAIN_FEW, Unit::PerSecond, percentile(rates, 50.0).context("nothing was drained")?);
    Ok(())
}

fn with_notes(mut findings: Findings, rows: u32) -> Findings {
    findings.add_ratio(PART_OF_RAW, DRAIN, RAW);
    findings.pair(DRAIN, RAW);
    findings.add_ratio(FEW_AGAINST_MANY, DRAIN_FEW, DRAIN);
    findings.note(format!(
        "{rows} events of one trigger are emitted before the clock starts; the table is empty when it stops. Dispatcher, \
         handlers and database share the cores of the machine. With the raw loop only the database and one client program \
         use them."
    ));
    findings.note(format!(
        "A tenth of the rows are {} events, drained {SMALL_DRAINS} times in each repeat; the median counts. The ratio is small if \
         a dispatcher needs time to reach its full rate.",
        rows / 10
    ));
    findings.note(
        "The raw loop is a limit and not a queue: it has no retry policy, no chain of events and no permissions, and returns \
         fewer columns.",
    );
    findings
}

/// Emits `rows` events through the store of `node`. Returns their lane.
pub(super) async fn fill<S: Store>(
    context: &Context,
    node: &Node<S>,
    rows: u32,
    target: &str,
) -> anyhow::Result<TriggerId> {
    let progress = context.progress.clone();
    progress.show_bar(format!("emitting to {target}"), u64::from(rows));
    node.within(move |store| async move {
        let app = App::deploy(&*store, &[TRIGGER]).await?;
        app.emit_many(&*store, TRIGGER, rows as usize, |some| progress.advance(some)).await?;
        app.lane(&*store, TRIGGER).await
    })
    .await
}

/// Starts the dispatchers of all nodes. Returns the deliveries per second until the answer to the
/// last settlement.
pub(super) async fn drain<S: Store>(
    context: &Context,
    mut nodes: Vec<Node<S>>,
    lane: TriggerId,
    rows: u32,
) -> anyhow::Result<f64> {
    let tally = Tally::with_goal(u64::from(rows));
    context.progress.show_bar("draining", u64::from(rows));
    let started_at = Instant::now();
    for node in &mut nodes {
        node.dispatch(Config::default(), Arc::new(Noop), tally.clone());
        node.wake.wake([lane]);
    }
    tally.wait_for_goal(|done| context.progress.set_position(done)).await?;
    let duration = started_at.elapsed();
    for node in nodes {
        node.stop().await?;
    }
    Ok(f64::from(rows) / duration.as_secs_f64())
}

/// The number of rows in the outbox of a file that no process has open.
pub async fn sqlite_outbox_count(path: &Path) -> anyhow::Result<i64> {
    on_sqlite(path, |client| Ok(client.query_row(sql::sqlite_outbox_count, (), |row| row.get(0))?)).await
}
