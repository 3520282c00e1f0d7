//! Sync calls of a no-op script over HTTP on the real daemon. Each call writes a row of the outbox,
//! executes it and settles it. The daemon replies after the outcome is durable. One caller shows
//! the latency; 64 callers show the effect of shared commits.

use super::names::{SYNC_POSTGRES_P50, SYNC_POSTGRES_RATE, SYNC_SQLITE_P50, SYNC_SQLITE_RATE};
use crate::context::Context;
use crate::findings::{Findings, Unit};
use crate::harness::Process;
use crate::limits::{postgres_commits, sqlite_commits};
use crate::stats::percentile;
use anyhow::Context as _;
use futures_util::future::try_join_all;
use hyper::Method;
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

const PATH: &str = "/v1/apps/bench/invoke/noop";
const BODY: &str = crate::harness::SMALL;
const CALLERS: usize = 64;
const WARM_UP: usize = 100;

pub(super) async fn run(context: &Context) -> anyhow::Result<Findings> {
    let time = context.effort.choose(Duration::from_secs(8), Duration::from_secs(3));
    let mut findings = Findings::default();
    for repeat in 1..=context.effort.repeats {
        let folder = context.folder.make()?;
        let cluster = context.postgres().await?;
        let database = cluster.database().await?;
        context.progress.show(format!("single commits on Postgres, repeat {repeat}"));
        findings.add("Postgres: single commits", Unit::PerSecond, postgres_commits(&database, time / 2).await?);
        context.progress.show(format!("calls on Postgres, repeat {repeat}"));
        let url = database.url.clone();
        calls(context, &mut findings, "Postgres", SYNC_POSTGRES_P50, &url, &folder, time).await?;
        cluster.remove(database).await?;
        std::fs::remove_dir_all(&folder)?;

        let folder = context.folder.make()?;
        context.progress.show(format!("single commits on SQLite, repeat {repeat}"));
        let commits = sqlite_commits(&folder.join("commits.db"), time / 2).await?;
        findings.add("SQLite: single commits", Unit::PerSecond, commits);
        context.progress.show(format!("calls on SQLite, repeat {repeat}"));
        let url = format!("sqlite:{}", folder.join("tidegate.db").display());
        calls(context, &mut findings, "SQLite", SYNC_SQLITE_P50, &url, &folder, time).await?;
        std::fs::remove_dir_all(folder)?;
    }
    for (store, ratio) in [("Postgres", SYNC_POSTGRES_RATE), ("SQLite", SYNC_SQLITE_RATE)] {
        let (calls, commits) = (format!("{store}: calls, c = {CALLERS}"), format!("{store}: single commits"));
        findings.add_ratio(ratio, &calls, &commits);
        findings.pair(&calls, &commits);
    }
    findings.note(format!(
        "`POST {PATH}` on the real daemon with default settings, over keep-alive connections, for {} s. The callers run in this \
         process on the same cores as the daemon and the database.",
        time.as_secs()
    ));
    findings
        .note("A call needs two durable commits before its reply, one for its row and one for its outcome. The limit counts single \
             commits.");
    Ok(findings)
}

async fn calls(
    context: &Context,
    findings: &mut Findings,
    store: &str,
    p50: &str,
    url: &str,
    folder: &Path,
    time: Duration,
) -> anyhow::Result<()> {
    let daemon = Process::start(context, url, folder).await?;
    let source = "export default async function (request, ctx) { return { status: 204 } }";
    daemon.client().await?.deploy(&json!([{"name": "noop", "source": source}]), &json!([])).await?;

    let alone = caller(&daemon, time / 2, WARM_UP).await?;
    findings.add(p50, Unit::Millis, percentile(&alone, 50.0).context("no call was answered")?);
    let p99 = percentile(&alone, 99.0).context("no call was answered")?;
    findings.add(&format!("{store}: c = 1, p99"), Unit::Millis, p99);

    let started_at = Instant::now();
    let together = try_join_all((0..CALLERS).map(|_| caller(&daemon, time, 0))).await?.concat();
    let rate = together.len() as f64 / started_at.elapsed().as_secs_f64();
    findings.add(&format!("{store}: calls, c = {CALLERS}"), Unit::PerSecond, rate);
    let p50 = percentile(&together, 50.0).context("no call was answered")?;
    findings.add(&format!("{store}: c = {CALLERS}, p50"), Unit::Millis, p50);
    daemon.stop().await
}

/// Calls in a loop for `time`, after `warm_up` calls. Returns the duration of each call in
/// milliseconds.
async fn caller(daemon: &Process, time: Duration, warm_up: usize) -> anyhow::Result<Vec<f64>> {
    let mut client = daemon.client().await?;
    let work = async move {
        for _ in 0..warm_up {
            client.send(Method::POST, PATH, BODY).await?;
        }
        let (started_at, mut durations_ms) = (Instant::now(), Vec::new());
        while started_at.elapsed() < time {
            let called_at = Instant::now();
            client.send(Method::POST, PATH, BODY).await?;
            durations_ms.push(called_at.elapsed().as_secs_f64() * 1e3);
        }
        anyhow::Ok(durations_ms)
    };
    tokio::spawn(work).await?
}
