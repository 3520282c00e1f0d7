//! What an exchange costs when millions of rows wait, against some thousands: a queue that gets slower the more there is
//! to do never catches up. The store alone is asked, as a dispatcher asks it; the two backlogs take turns.

use super::names::{BACKLOG_POSTGRES, BACKLOG_SQLITE};
use crate::context::Context;
use crate::findings::{Findings, Unit};
use crate::harness::{App, Database, Node, Store};
use crate::sql;
use crate::stats::percentile;
use anyhow::{Context as _, bail, ensure};
use std::path::Path;
use std::time::Instant;
use tidegate_core::{
    Claim, Effects, ExchangeReply, LaneQuota, Micros, Reply, Request, Settlement, Timestamp, TriggerId, Verdict,
};
use tidegate_io_postgres::PgStore;
use tidegate_io_sqlite::SqliteStore;

const TRIGGER: &str = "go";
const FEW: u32 = 10_000;
/// Settled and claimed by one exchange.
const BATCH: u32 = 100;
/// Of each backlog in each turn, and turns of each in a repeat: the disk's speed changes within a second, and shall do so
/// for both.
const EXCHANGES: u32 = 5;
const TURNS: u32 = 6;
const LEASE: Micros = Micros::from_secs(600);

pub(super) async fn run(context: &Context) -> anyhow::Result<Findings> {
    let many: u32 = context.effort.of(5_000_000, 500_000);
    let mut findings = Findings::default();
    let cluster = context.postgres().await?;

    let (few_base, many_base) = (cluster.database().await?, cluster.database().await?);
    let few = on_postgres(context, &few_base, FEW).await?;
    let rows = on_postgres(context, &many_base, many).await?;
    take_turns(context, &mut findings, "Postgres", BACKLOG_POSTGRES, few, rows).await?;
    cluster.remove(few_base).await?;
    cluster.remove(many_base).await?;

    let folder = context.folder.make()?;
    let few = on_sqlite(context, &folder.join("few.db"), FEW).await?;
    let rows = on_sqlite(context, &folder.join("many.db"), many).await?;
    take_turns(context, &mut findings, "SQLite", BACKLOG_SQLITE, few, rows).await?;
    std::fs::remove_dir_all(folder)?;

    findings.note(format!(
        "{BATCH} settled and {BATCH} claimed by each exchange, the median of {}; {many} rows against {FEW}, one lane, \
         inserted by plain SQL, then vacuumed and analyzed.",
        EXCHANGES * TURNS
    ));
    if context.effort.quick {
        findings.note("Quick: 500,000 rows stand for the 5,000,000 that the target speaks of.");
    }
    Ok(findings)
}

/// A store with a backlog, and what it has claimed of it so far.
struct Backlog<S> {
    node: Node<S>,
    lane: TriggerId,
    held: Vec<Claim>,
}

async fn on_postgres(context: &Context, database: &Database, rows: u32) -> anyhow::Result<Backlog<PgStore>> {
    context.progress.says(format!("inserting {rows} rows into Postgres"));
    let node = Node::<PgStore>::open(&database.url).await?;
    let lane = lane(&node).await?;
    fill_postgres(database, lane, rows).await?;
    database.settle_down().await?;
    Ok(Backlog { node, lane, held: Vec::new() })
}

async fn on_sqlite(context: &Context, path: &Path, rows: u32) -> anyhow::Result<Backlog<SqliteStore>> {
    context.progress.says(format!("inserting {rows} rows into SQLite"));
    let path = path.to_owned();
    let node = Node::<SqliteStore>::open(&path).await?;
    let lane = lane(&node).await?;
    node.stop().await?;
    fill_sqlite(&path, lane, rows).await?;
    Ok(Backlog { node: Node::open(&path).await?, lane, held: Vec::new() })
}

async fn lane<S: Store>(node: &Node<S>) -> anyhow::Result<TriggerId> {
    node.within(|store| async move {
        let app = App::deploy(&*store, &[TRIGGER]).await?;
        app.lane(&*store, TRIGGER).await
    })
    .await
}

/// Rows as `emit` would have made them, in one statement.
pub(super) async fn fill_postgres(database: &Database, lane: TriggerId, rows: u32) -> anyhow::Result<()> {
    let mut client = database.client().await?;
    let inserted =
        sqlx::query(sql::outbox_fill_postgres).bind(lane.0).bind(i64::from(rows)).execute(&mut client).await?;
    ensure!(inserted.rows_affected() == u64::from(rows), "{} of {rows} rows were inserted", inserted.rows_affected());
    Ok(())
}

/// The same into a file that nobody has open.
pub(super) async fn fill_sqlite(path: &Path, lane: TriggerId, rows: u32) -> anyhow::Result<()> {
    crate::limits::on_sqlite(path, move |client| {
        let inserted = client.execute(sql::outbox_fill_sqlite, rusqlite::params![lane.0, rows])?;
        ensure!(inserted == rows as usize, "{inserted} of {rows} rows were inserted");
        Ok(())
    })
    .await
}

async fn take_turns<S: Store>(
    context: &Context,
    findings: &mut Findings,
    store: &str,
    ratio: &str,
    mut few: Backlog<S>,
    mut many: Backlog<S>,
) -> anyhow::Result<()> {
    let (few_name, many_name) = (format!("{store}: exchange, few waiting"), format!("{store}: exchange, many waiting"));
    // The first exchanges of a connection make plans and fill caches.
    few.exchanges(3).await?;
    many.exchanges(3).await?;
    for repeat in 1..=context.effort.repeats {
        context.progress.says(format!("exchanges on {store}, repeat {repeat}"));
        let (mut of_few, mut of_many) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            of_few.extend(few.exchanges(EXCHANGES).await?);
            of_many.extend(many.exchanges(EXCHANGES).await?);
        }
        for (name, took) in [(&few_name, of_few), (&many_name, of_many)] {
            findings.add(name, Unit::Millis, percentile(&took, 50.0).context("no exchange was made")?);
        }
    }
    findings.add_ratio(ratio, &many_name, &few_name);
    few.node.stop().await?;
    many.node.stop().await
}

impl<S: Store> Backlog<S> {
    /// How long so many exchanges took, one after the other, in milliseconds.
    async fn exchanges(&mut self, count: u32) -> anyhow::Result<Vec<f64>> {
        let (lane, mut held) = (self.lane, std::mem::take(&mut self.held));
        let work = self.node.within(move |store| async move {
            let mut took = Vec::new();
            for _ in 0..count {
                let settle = held.iter().map(|&claim| Settlement { claim, verdict: done() }).collect();
                let claim = vec![LaneQuota { trigger: lane, quota: BATCH, floor: Timestamp::EPOCH }];
                let begun = Instant::now();
                let reply = store.call(Request::Exchange { settle, claim, lease_for: LEASE }).await?;
                took.push(begun.elapsed().as_secs_f64() * 1e3);
                let Reply::Exchange(ExchangeReply { claimed, fenced, .. }) = reply else {
                    bail!("an exchange had another answer")
                };
                ensure!(fenced.is_empty() && claimed.len() == BATCH as usize, "{} rows were claimed", claimed.len());
                held = claimed.iter().map(|row| Claim { delivery: row.id, lease: row.lease }).collect();
            }
            Ok((held, took))
        });
        let (held, took) = work.await?;
        self.held = held;
        Ok(took)
    }
}

fn done() -> Verdict {
    Verdict::Done { effects: Effects::default() }
}
