//! The duration of an exchange with millions of waiting rows, compared with some thousands. A queue
//! that slows down as its backlog grows never catches up. The scenario calls the store as a
//! dispatcher does, without a dispatcher, and alternates between the two backlogs.

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
/// The number of rows that one exchange settles, and the number that it claims.
const BATCH: u32 = 100;
/// The number of exchanges in a round of one backlog. Rounds of both backlogs alternate, because
/// the speed of the disk changes within seconds and must affect both.
const EXCHANGES_PER_ROUND: u32 = 5;
const ROUNDS: u32 = 6;
/// The number of rows in one transaction of [`fill_postgres`].
const ROWS_PER_STATEMENT: u32 = 50_000;
const LEASE: Micros = Micros::from_secs(600);

pub(super) async fn run(context: &Context) -> anyhow::Result<Findings> {
    let many: u32 = context.effort.choose(5_000_000, 500_000);
    let mut findings = Findings::default();
    let cluster = context.postgres().await?;

    let (few_base, many_base) = (cluster.database().await?, cluster.database().await?);
    let few = on_postgres(context, &few_base, FEW).await?;
    let rows = on_postgres(context, &many_base, many).await?;
    compare(context, &mut findings, "Postgres", BACKLOG_POSTGRES, few, rows).await?;
    cluster.remove(few_base).await?;
    cluster.remove(many_base).await?;

    let folder = context.folder.make()?;
    let few = on_sqlite(context, &folder.join("few.db"), FEW).await?;
    let rows = on_sqlite(context, &folder.join("many.db"), many).await?;
    compare(context, &mut findings, "SQLite", BACKLOG_SQLITE, few, rows).await?;
    std::fs::remove_dir_all(folder)?;

    findings.note(format!(
        "Each exchange settles {BATCH} rows and claims {BATCH}; a sample is the median of {} exchanges. {many} rows are compared \
         with {FEW}. All rows are in one lane; on Postgres its tables are vacuumed and analyzed first.",
        EXCHANGES_PER_ROUND * ROUNDS
    ));
    if context.effort.quick {
        findings.note("A quick run uses 500,000 rows in place of the 5,000,000 rows of the target.");
    }
    Ok(findings)
}

/// A store with a backlog, and the claims of the last exchange.
struct Backlog<S> {
    node: Node<S>,
    lane: TriggerId,
    claims: Vec<Claim>,
}

async fn on_postgres(context: &Context, database: &Database, rows: u32) -> anyhow::Result<Backlog<PgStore>> {
    let node = Node::<PgStore>::open(&database.url).await?;
    let lane = lane(&node).await?;
    fill_postgres(context, database, lane, rows).await?;
    database.vacuum_and_checkpoint().await?;
    Ok(Backlog { node, lane, claims: Vec::new() })
}

async fn on_sqlite(context: &Context, path: &Path, rows: u32) -> anyhow::Result<Backlog<SqliteStore>> {
    let path = path.to_owned();
    let node = Node::<SqliteStore>::open(&path).await?;
    let lane = lane(&node).await?;
    node.stop().await?;
    fill_sqlite(context, &path, TRIGGER.to_owned(), rows).await?;
    Ok(Backlog { node: Node::open(&path).await?, lane, claims: Vec::new() })
}

async fn lane<S: Store>(node: &Node<S>) -> anyhow::Result<TriggerId> {
    node.within(|store| async move {
        let app = App::deploy(&*store, &[TRIGGER]).await?;
        app.lane(&*store, TRIGGER).await
    })
    .await
}

/// Writes `rows` deliveries of the trigger `lane` by the function that fans out events.
pub(super) async fn fill_postgres(
    context: &Context,
    database: &Database,
    lane: TriggerId,
    rows: u32,
) -> anyhow::Result<()> {
    context.progress.show_bar(format!("writing {rows} rows to Postgres"), u64::from(rows));
    let mut client = database.client().await?;
    let mut left = rows;
    while left > 0 {
        let some = left.min(ROWS_PER_STATEMENT);
        let fill = sqlx::query_scalar(sql::outbox_fill_postgres).bind(lane.0).bind(i64::from(some));
        let written: i64 = fill.fetch_one(&mut client).await?;
        ensure!(written == i64::from(some), "{some} events made {written} deliveries; each event makes one");
        context.progress.advance(some as usize);
        left -= some;
    }
    Ok(())
}

/// Emits `rows` events of a trigger of [`App`], which is deployed, to a file that no process has
/// open.
pub(super) async fn fill_sqlite(context: &Context, path: &Path, trigger: String, rows: u32) -> anyhow::Result<()> {
    let progress = context.progress.clone();
    progress.show_bar(format!("emitting {rows} events to SQLite"), u64::from(rows));
    let node = Node::<SqliteStore>::open(&path.to_owned()).await?;
    node.within(move |store| async move {
        App::deployed()?.emit_many(&*store, &trigger, rows as usize, |some| progress.advance(some)).await
    })
    .await?;
    node.stop().await
}

async fn compare<S: Store>(
    context: &Context,
    findings: &mut Findings,
    store: &str,
    ratio: &str,
    mut few: Backlog<S>,
    mut many: Backlog<S>,
) -> anyhow::Result<()> {
    let (few_name, many_name) = (format!("{store}: exchange, few waiting"), format!("{store}: exchange, many waiting"));
    // The first exchanges of a connection prepare plans and fill caches.
    few.exchanges(3).await?;
    many.exchanges(3).await?;
    for repeat in 1..=context.effort.repeats {
        context.progress.show(format!("exchanges on {store}, repeat {repeat}"));
        let (mut of_few, mut of_many) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            of_few.extend(few.exchanges(EXCHANGES_PER_ROUND).await?);
            of_many.extend(many.exchanges(EXCHANGES_PER_ROUND).await?);
        }
        for (name, durations_ms) in [(&few_name, of_few), (&many_name, of_many)] {
            findings.add(name, Unit::Millis, percentile(&durations_ms, 50.0).context("no exchange ran")?);
        }
    }
    findings.add_ratio(ratio, &many_name, &few_name);
    few.node.stop().await?;
    many.node.stop().await
}

impl<S: Store> Backlog<S> {
    /// Runs `count` exchanges one after the other. Returns the duration of each in milliseconds.
    async fn exchanges(&mut self, count: u32) -> anyhow::Result<Vec<f64>> {
        let (lane, mut claims) = (self.lane, std::mem::take(&mut self.claims));
        let work = self.node.within(move |store| async move {
            let mut durations_ms = Vec::new();
            for _ in 0..count {
                let settle = claims.iter().map(|&claim| Settlement { claim, verdict: done() }).collect();
                let claim = vec![LaneQuota { trigger: lane, quota: BATCH, starts: BATCH, look_back: Timestamp::EPOCH }];
                let started_at = Instant::now();
                let reply = store
                    .call(Request::Exchange {
                        settle,
                        claim,
                        suspect: None,
                        lease_for: LEASE,
                        claim_bytes_max: u64::MAX,
                    })
                    .await?;
                durations_ms.push(started_at.elapsed().as_secs_f64() * 1e3);
                let Reply::Exchange(ExchangeReply { claimed, fenced, .. }) = reply else {
                    bail!("the store answered an exchange with another reply")
                };
                ensure!(fenced.is_empty() && claimed.len() == BATCH as usize, "claimed {} rows", claimed.len());
                claims = claimed.iter().map(|row| Claim { delivery: row.id, lease: row.lease }).collect();
            }
            Ok((claims, durations_ms))
        });
        let (claims, durations_ms) = work.await?;
        self.claims = claims;
        Ok(durations_ms)
    }
}

fn done() -> Verdict {
    Verdict::Done { effects: Effects::default() }
}
