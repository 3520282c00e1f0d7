//! The memory of the real daemon: idle, and while it drains a backlog of a million rows with a
//! no-op script. The largest sample counts.

use super::backlog::{fill_postgres, fill_sqlite};
use super::names::{MEMORY_DRAINING_POSTGRES, MEMORY_DRAINING_SQLITE, MEMORY_IDLE_POSTGRES, MEMORY_IDLE_SQLITE};
use crate::context::Context;
use crate::findings::{Findings, Unit};
use crate::harness::Process;
use crate::process::resident_bytes;
use crate::sql;
use anyhow::{Context as _, ensure};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};
use tidegate_core::TriggerId;

/// The time to measure an idle daemon after a deployment.
const IDLE_TIME: Duration = Duration::from_secs(3);
const SAMPLE_INTERVAL: Duration = Duration::from_millis(50);

pub(super) async fn run(context: &Context) -> anyhow::Result<Findings> {
    let rows: u32 = context.effort.choose(1_000_000, 100_000);
    let time = context.effort.choose(Duration::from_secs(30), Duration::from_secs(8));
    let mut findings = Findings::default();
    for repeat in 1..=context.effort.repeats {
        context.progress.show(format!("the daemon's memory on Postgres, repeat {repeat}"));
        let folder = context.folder.make()?;
        let cluster = context.postgres().await?;
        let database = cluster.database().await?;
        idle(context, &mut findings, MEMORY_IDLE_POSTGRES, &database.url, &folder).await?;
        let lane = sqlx::query_scalar(sql::lane_postgres).fetch_one(&mut database.client().await?).await?;
        fill_postgres(context, &database, TriggerId(lane), rows).await?;
        database.vacuum_and_checkpoint().await?;
        draining(context, &mut findings, MEMORY_DRAINING_POSTGRES, &database.url, &folder, time).await?;
        let left = database.outbox_count().await?;
        ensure!(left < i64::from(rows), "the daemon drained nothing");
        findings.add(
            "Postgres: drain rate at the same time",
            Unit::PerSecond,
            (f64::from(rows) - left as f64) / time.as_secs_f64(),
        );
        cluster.remove(database).await?;
        std::fs::remove_dir_all(folder)?;

        context.progress.show(format!("the daemon's memory on SQLite, repeat {repeat}"));
        let folder = context.folder.make()?;
        let path = folder.join("tidegate.db");
        let url = format!("sqlite:{}", path.display());
        idle(context, &mut findings, MEMORY_IDLE_SQLITE, &url, &folder).await?;
        fill_sqlite(context, &path, "go".to_owned(), rows).await?;
        draining(context, &mut findings, MEMORY_DRAINING_SQLITE, &url, &folder, time).await?;
        std::fs::remove_dir_all(folder)?;
    }
    findings.note(format!(
        "The largest VmRSS of the daemon's process, sampled every {SAMPLE_INTERVAL:?}: for {IDLE_TIME:?} idle after a deployment, \
         then for {} s after a restart with {rows} waiting rows. It includes the code and the page cache of SQLite.",
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
    findings.add(series, Unit::Mb, max_resident_mb(&daemon, IDLE_TIME).await?);
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
    findings.add(series, Unit::Mb, max_resident_mb(&daemon, time).await?);
    daemon.stop().await.context("the daemon did not stop during the drain")
}

/// The largest resident memory within `time`, in megabytes.
async fn max_resident_mb(daemon: &Process, time: Duration) -> anyhow::Result<f64> {
    let (started_at, mut max_bytes) = (Instant::now(), 0.0_f64);
    while started_at.elapsed() < time {
        max_bytes = max_bytes.max(resident_bytes(daemon.id())?);
        tokio::time::sleep(SAMPLE_INTERVAL).await;
    }
    Ok(max_bytes / 1e6)
}
