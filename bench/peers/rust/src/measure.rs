//! The measurement, which is the same for every queue. All jobs are enqueued before the clock
//! starts. The clock stops when the database has no unfinished job. Then single jobs are enqueued
//! into the idle queue.

use crate::call_counter::CallCounter;
use crate::database;
use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// The number of jobs in one bulk call. Larger statements exceed the limits of some queues.
const ENQUEUE_CHUNK: u64 = 2000;
/// The number of single jobs for the idle latency. With 200 samples, two slow ones do not decide
/// the 99th percentile.
const LATENCY_SAMPLES: u64 = 200;
/// The pause between two single jobs, so that the queue can complete the job and become idle.
const LATENCY_PAUSE: Duration = Duration::from_millis(20);
const LATENCY_TIMEOUT: Duration = Duration::from_secs(10);
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);
const CHECK_INTERVAL: Duration = Duration::from_millis(5);

pub struct Plan {
    pub server: String,
    pub setting: String,
    pub jobs: u64,
}

pub struct Setting {
    pub name: &'static str,
    pub description: &'static str,
    /// A commit wakes the queue. The idle latency is measured only in this case.
    pub wakes: bool,
}

pub trait Queue: Sized {
    const NAME: &str;
    const VERSION: &str;
    const SETTINGS: &[Setting];
    /// SQL that counts the unfinished jobs.
    const UNFINISHED: &str;

    async fn open(database: PgConnectOptions, setting: &str) -> anyhow::Result<Self>;
    /// Enqueues jobs by the bulk call of the queue.
    async fn enqueue(&mut self, from: u64, count: u64) -> anyhow::Result<()>;
    async fn enqueue_one(&mut self) -> anyhow::Result<()>;
    /// Starts the workers. The task ends when they end.
    async fn start(&mut self, handled: Arc<CallCounter>) -> anyhow::Result<JoinHandle<anyhow::Result<()>>>;
    fn stop(&mut self) -> anyhow::Result<()>;
}

pub async fn measure<Q: Queue>(plan: &Plan) -> anyhow::Result<Value> {
    let setting = Q::SETTINGS.iter().find(|setting| setting.name == plan.setting);
    let setting = setting.with_context(|| {
        let names: Vec<&str> = Q::SETTINGS.iter().map(|setting| setting.name).collect();
        format!("{} has the settings {}; {} is unknown", Q::NAME, names.join(", "), plan.setting)
    })?;
    let jobs = plan.jobs;
    let options = database::fresh(&plan.server).await?;
    let mut client = PgConnection::connect_with(&options).await?;
    database::demand_durability(&mut client).await?;
    let mut queue = Q::open(options, setting.name).await?;

    let mut from = 0;
    while from < jobs {
        let count = ENQUEUE_CHUNK.min(jobs - from);
        queue.enqueue(from, count).await?;
        from += count;
    }
    expect("jobs enqueued", database::count(&mut client, Q::UNFINISHED).await?, jobs)?;
    sqlx::raw_sql("analyze").execute(&mut client).await?;
    eprintln!("enqueued {jobs}");

    let handled = Arc::new(CallCounter::new());
    handled.set_target(jobs);
    let progress = tokio::spawn(show_progress(Arc::clone(&handled), jobs));
    let started_at = Instant::now();
    let mut workers = queue.start(Arc::clone(&handled)).await?;
    unless_workers_end(&mut workers, handled.wait_for_target()).await?;
    all_finished::<Q>(&mut client).await?;
    let seconds = started_at.elapsed().as_secs_f64();
    progress.abort();
    expect("handler calls", handled.count(), jobs)?;

    let latency = if setting.wakes { Some(idle_latency(&mut queue, &handled, &mut workers).await?) } else { None };
    expect("handler calls", handled.count(), jobs + latency.as_ref().map_or(0, |_| LATENCY_SAMPLES))?;
    // The completion of the last job may not be written yet, and a stop would prevent it.
    all_finished::<Q>(&mut client).await?;
    queue.stop()?;
    workers.await??;
    expect("jobs unfinished", database::count(&mut client, Q::UNFINISHED).await?, 0)?;
    drop(queue);
    client.close().await?;
    database::drop_again(&plan.server).await?;
    Ok(json!({
        "peer": Q::NAME,
        "version": Q::VERSION,
        "settings": setting.description,
        "jobs": jobs,
        "seconds": seconds,
        "per_second": jobs as f64 / seconds,
        "handled": jobs,
        "latency_ms": latency.map(|sorted| json!({ "p50": quantile(&sorted, 0.5), "p99": quantile(&sorted, 0.99) })),
    }))
}

async fn all_finished<Q: Queue>(client: &mut PgConnection) -> anyhow::Result<()> {
    while database::count(client, Q::UNFINISHED).await? > 0 {
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
    Ok(())
}

/// The times in milliseconds from before the enqueue to the start of the handler, sorted. Both run
/// in this process and use the same clock.
async fn idle_latency<Q: Queue>(
    queue: &mut Q,
    handled: &CallCounter,
    workers: &mut JoinHandle<anyhow::Result<()>>,
) -> anyhow::Result<Vec<f64>> {
    let mut samples = Vec::new();
    for _ in 0..LATENCY_SAMPLES {
        tokio::time::sleep(LATENCY_PAUSE).await;
        handled.set_target(handled.count() + 1);
        let started_at = Instant::now();
        queue.enqueue_one().await?;
        let started = tokio::time::timeout(LATENCY_TIMEOUT, unless_workers_end(workers, handled.wait_for_target()))
            .await
            .with_context(|| format!("a single job was not handled within {} s", LATENCY_TIMEOUT.as_secs()))??;
        samples.push(started.duration_since(started_at).as_secs_f64() * 1000.0);
    }
    samples.sort_by(f64::total_cmp);
    Ok(samples)
}

/// The output of `future`, or the failure of the workers if they end first.
async fn unless_workers_end<T>(
    workers: &mut JoinHandle<anyhow::Result<()>>,
    future: impl Future<Output = T>,
) -> anyhow::Result<T> {
    tokio::select! {
        biased;
        output = future => Ok(output),
        ended = workers => {
            ended??;
            bail!("the workers ended before all jobs were handled")
        }
    }
}

async fn show_progress(handled: Arc<CallCounter>, jobs: u64) {
    loop {
        tokio::time::sleep(PROGRESS_INTERVAL).await;
        eprintln!("handled {} of {jobs}", handled.count());
    }
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

fn expect(name: &str, count: u64, expected: u64) -> anyhow::Result<()> {
    ensure!(count == expected, "{name}: {count}, expected {expected}");
    Ok(())
}
