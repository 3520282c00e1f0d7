//! What the real daemon occupies: with nothing to do, and while it drains a backlog of a million rows with a script that
//! does nothing. The most that was seen counts.

use super::backlog::{fill_postgres, fill_sqlite};
use super::names::{MEMORY_DRAINING_POSTGRES, MEMORY_DRAINING_SQLITE, MEMORY_IDLE_POSTGRES, MEMORY_IDLE_SQLITE};
use crate::context::Context;
use crate::findings::{Findings, Unit};
use crate::harness::Process;
use crate::process::resident;
use crate::sql;
use anyhow::{Context as _, ensure};
use rusqlite::Connection;
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};
use tidegate_core::TriggerId;

/// After a start or a deployment, until everything has settled.
const SETTLE: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(super) async fn run(context: &Context) -> anyhow::Result<Findings> {
    let rows: u32 = context.effort.of(1_000_000, 100_000);
    let time = context.effort.of(Duration::from_secs(30), Duration::from_secs(8));
    let mut findings = Findings::default();
    for repeat in 1..=context.effort.repeats {
        context.progress.says(format!("the daemon's memory on Postgres, repeat {repeat}"));
        let folder = context.folder.make()?;
        let cluster = context.postgres().await?;
        let database = cluster.database().await?;
        idle(context, &mut findings, MEMORY_IDLE_POSTGRES, &database.url, &folder).await?;
        let lane = sqlx::query_scalar(sql::lane_postgres).fetch_one(&mut database.client().await?).await?;
        fill_postgres(&database, TriggerId(lane), rows).await?;
        database.settle_down().await?;
        draining(context, &mut findings, MEMORY_DRAINING_POSTGRES, &database.url, &folder, time).await?;
        let left = database.outbox_count().await?;
        ensure!(left < i64::from(rows), "the daemon drained nothing");
        findings.add(
            "Postgres: drained meanwhile",
            Unit::PerSecond,
            (f64::from(rows) - left as f64) / time.as_secs_f64(),
        );
        cluster.remove(database).await?;
        std::fs::remove_dir_all(folder)?;

        context.progress.says(format!("the daemon's memory on SQLite, repeat {repeat}"));
        let folder = context.folder.make()?;
        let path = folder.join("tidegate.db");
        let url = format!("sqlite:{}", path.display());
        idle(context, &mut findings, MEMORY_IDLE_SQLITE, &url, &folder).await?;
        let lane = |client: &mut Connection| Ok(client.query_row(sql::lane_sqlite, (), |row| row.get(0))?);
        let lane = crate::limits::on_sqlite(&path, lane).await?;
        fill_sqlite(&path, TriggerId(lane), rows).await?;
        draining(context, &mut findings, MEMORY_DRAINING_SQLITE, &url, &folder, time).await?;
        std::fs::remove_dir_all(folder)?;
    }
    findings.note(format!(
        "VmRSS of the daemon's process, looked at every {LOOK_EVERY:?}: idle for {SETTLE:?} after a deployment, then, started \
         anew on {rows} waiting rows, for {} s of draining. It holds the code and the pages of SQLite's cache too.",
        time.as_secs()
    ));
    Ok(findings)
}

async fn idle(
    context: &Context,
    findings: &mut Findings,
    series: &str,
    url: &str,
    folder: &Path,
) -> anyhow::Result<()> {
    let daemon = Process::start(context, url, folder).await?;
    let scripts = json!([{"name": "noop", "source": "export default async function (event, ctx) {}"}]);
    let triggers = json!([{"name": "go", "match": {"source": "app", "type": "go"}, "handler": {"script": "noop"}}]);
    daemon.client().await?.deploy(&scripts, &triggers).await?;
    findings.add(series, Unit::Mb, most(&daemon, SETTLE).await?);
    daemon.stop().await
}

async fn draining(
    context: &Context,
    findings: &mut Findings,
    series: &str,
    url: &str,
    folder: &Path,
    time: Duration,
) -> anyhow::Result<()> {
    let daemon = Process::start(context, url, folder).await?;
    findings.add(series, Unit::Mb, most(&daemon, time).await?);
    daemon.stop().await.context("the daemon does not stop while it drains")
}

/// The most that it occupies within `time`, in megabytes.
async fn most(daemon: &Process, time: Duration) -> anyhow::Result<f64> {
    let (begun, mut most) = (Instant::now(), 0.0_f64);
    while begun.elapsed() < time {
        most = most.max(resident(daemon.id())?);
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(most / 1e6)
}
