//! What every queue is put through, so that only the queue differs: the jobs enqueued before the clock starts, the clock
//! stopped when the database says that nothing is left, and then single jobs into the idle queue.

use crate::database;
use crate::handled::Handled;
use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// One call enqueues as many: enough to be quick, few enough for every queue's statement.
const ENQUEUE_CHUNK: u64 = 2000;
/// Single jobs into the idle queue: 200 give a 99th percentile that two slow ones do not make up.
const LATENCY_SAMPLES: u64 = 200;
/// Between two of them everything comes to rest, completion included.
const LATENCY_PAUSE: Duration = Duration::from_millis(20);
const LATENCY_TIMEOUT: Duration = Duration::from_secs(10);
const PROGRESS: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(5);

pub struct Plan {
    pub server: String,
    pub setting: String,
    pub jobs: u64,
}

pub struct Setting {
    pub name: &'static str,
    pub described: &'static str,
    /// Whether a commit wakes it, so that there is a latency to measure.
    pub wakes: bool,
}

pub trait Queue: Sized {
    const NAME: &str;
    const VERSION: &str;
    const SETTINGS: &[Setting];
    /// Counts the jobs that are not finished.
    const UNFINISHED: &str;

    async fn open(database: PgConnectOptions, setting: &str) -> anyhow::Result<Self>;
    /// By its own bulk API.
    async fn enqueue(&mut self, from: u64, count: u64) -> anyhow::Result<()>;
    async fn enqueue_one(&mut self) -> anyhow::Result<()>;
    /// Starts the workers; the task ends when they do.
    async fn start(&mut self, handled: Arc<Handled>) -> anyhow::Result<JoinHandle<anyhow::Result<()>>>;
    fn stop(&mut self) -> anyhow::Result<()>;
}

pub async fn measure<Q: Queue>(plan: &Plan) -> anyhow::Result<Value> {
    let setting = Q::SETTINGS.iter().find(|setting| setting.name == plan.setting);
    let setting = setting.with_context(|| {
        let names: Vec<&str> = Q::SETTINGS.iter().map(|setting| setting.name).collect();
        format!("{} has the settings {}, not {}", Q::NAME, names.join(", "), plan.setting)
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

    let handled = Arc::new(Handled::new());
    handled.aim(jobs);
    let progress = tokio::spawn(show_progress(Arc::clone(&handled), jobs));
    let began = Instant::now();
    let mut workers = queue.start(Arc::clone(&handled)).await?;
    unless_dead(&mut workers, handled.reached()).await?;
    all_finished::<Q>(&mut client).await?;
    let seconds = began.elapsed().as_secs_f64();
    progress.abort();
    expect("handler calls", handled.count(), jobs)?;

    let latency = if setting.wakes { Some(idle_latency(&mut queue, &handled, &mut workers).await?) } else { None };
    expect("handler calls", handled.count(), jobs + latency.as_ref().map_or(0, |_| LATENCY_SAMPLES))?;
    // The last handler's end is still to be written down, and stopping may come before that.
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
        "settings": setting.described,
        "jobs": jobs,
        "seconds": seconds,
        "per_second": jobs as f64 / seconds,
        "handled": jobs,
        "latency_ms": latency.map(|sorted| json!({ "p50": quantile(&sorted, 0.5), "p99": quantile(&sorted, 0.99) })),
    }))
}

async fn all_finished<Q: Queue>(client: &mut PgConnection) -> anyhow::Result<()> {
    while database::count(client, Q::UNFINISHED).await? > 0 {
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// From before the call that enqueues to the handler's first line, in one process and so by one clock.
async fn idle_latency<Q: Queue>(
    queue: &mut Q,
    handled: &Handled,
    workers: &mut JoinHandle<anyhow::Result<()>>,
) -> anyhow::Result<Vec<f64>> {
    let mut samples = Vec::new();
    for _ in 0..LATENCY_SAMPLES {
        tokio::time::sleep(LATENCY_PAUSE).await;
        handled.aim(handled.count() + 1);
        let began = Instant::now();
        queue.enqueue_one().await?;
        let started = tokio::time::timeout(LATENCY_TIMEOUT, unless_dead(workers, handled.reached()))
            .await
            .with_context(|| format!("a single job was not handled within {} s", LATENCY_TIMEOUT.as_secs()))??;
        samples.push(started.duration_since(began).as_secs_f64() * 1000.0);
    }
    samples.sort_by(f64::total_cmp);
    Ok(samples)
}

/// What is awaited, or the workers' own failure if they end before.
async fn unless_dead<T>(
    workers: &mut JoinHandle<anyhow::Result<()>>,
    awaited: impl Future<Output = T>,
) -> anyhow::Result<T> {
    tokio::select! {
        biased;
        result = awaited => Ok(result),
        ended = workers => {
            ended??;
            bail!("the workers ended before their jobs")
        }
    }
}

async fn show_progress(handled: Arc<Handled>, jobs: u64) {
    loop {
        tokio::time::sleep(PROGRESS).await;
        eprintln!("handled {} of {jobs}", handled.count());
    }
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

fn expect(what: &str, found: u64, expected: u64) -> anyhow::Result<()> {
    ensure!(found == expected, "{what}: {found}, expected {expected}");
    Ok(())
}
