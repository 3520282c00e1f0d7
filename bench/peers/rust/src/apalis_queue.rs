//! The crate `apalis-postgres`. The type `Config` documents its options. Its README and its
//! examples `basic` and `pubsub` show notifications, larger batches and handlers as separate tasks.

use crate::call_counter::CallCounter;
use crate::measure::{Queue, Setting};
use anyhow::Context as _;
use apalis::prelude::*;
use apalis_postgres::{Config, PostgresStorage, queries};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

const QUEUE: &str = "noop";
/// The queue misses a notification that arrives during a fetch, and handles the job at its next
/// poll. Its documentation polls every 5 or 10 s; a short interval keeps that out of the latency.
const POLL: Duration = Duration::from_millis(100);

pub struct Apalis {
    pool: PgPool,
    batched: bool,
    worker: WorkerContext,
}

async fn noop(_i: u64, handled: Data<Arc<CallCounter>>) -> Result<(), BoxDynError> {
    handled.call();
    Ok(())
}

impl Queue for Apalis {
    const NAME: &str = "apalis-postgres";
    const VERSION: &str = env!("APALIS_POSTGRES_VERSION");
    const SETTINGS: &[Setting] = &[
        Setting { name: "defaults", description: "defaults (batch 10)", wakes: false },
        Setting {
            name: "batched",
            description: "batch 500, no lock per task, spawned handlers, notify, poll 100 ms",
            wakes: true,
        },
    ];
    const UNFINISHED: &str = "select count(*) from apalis.jobs where status <> 'Done'";

    async fn open(database: PgConnectOptions, setting: &str) -> anyhow::Result<Self> {
        let pool = PgPoolOptions::new().connect_with(database).await?;
        PostgresStorage::setup(&pool).await?;
        Ok(Self { pool, batched: setting == "batched", worker: WorkerContext::new("bench") })
    }

    async fn enqueue(&mut self, from: u64, count: u64) -> anyhow::Result<()> {
        let mut tasks = Vec::new();
        for i in from..from + count {
            tasks.push(TaskBuilder::new(serde_json::to_vec(&i)?).build());
        }
        let mut connection = self.pool.acquire().await?;
        queries::push_tasks(&mut *connection, QUEUE, tasks).await?;
        Ok(())
    }

    async fn enqueue_one(&mut self) -> anyhow::Result<()> {
        self.enqueue(0, 1).await
    }

    async fn start(&mut self, handled: Arc<CallCounter>) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
        let config = Config::default().queue(QUEUE);
        let worker = WorkerBuilder::new(&self.worker);
        if self.batched {
            let config = config.batch_size(500).lock_tasks(false);
            let backend = PostgresStorage::new(&self.pool).with_config(config).with_pubsub().poll_with_interval(POLL);
            let worker = worker.backend(backend).parallelize(tokio::spawn).data(handled).build(noop);
            return Ok(spawn_on_thread(move |runtime| runtime.block_on(worker.run())));
        }
        let backend = PostgresStorage::new(&self.pool).with_config(config);
        let worker = worker.backend(backend).data(handled).build(noop);
        Ok(spawn_on_thread(move |runtime| runtime.block_on(worker.run())))
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        self.worker.stop()?;
        Ok(())
    }
}

/// Runs a worker on a thread, because the compiler cannot prove that its future is `Send`. The
/// examples of the crate run it in `main`.
fn spawn_on_thread(
    run: impl FnOnce(Handle) -> Result<(), WorkerError> + Send + 'static,
) -> JoinHandle<anyhow::Result<()>> {
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || run(runtime).context("the worker failed"))
}
