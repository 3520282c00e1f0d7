//! The crate `graphile_worker`. Its fast setting is that of its own throughput benchmark,
//! `benches/perf_test.rs`. Its guides "Local Queue" and "Worker Options" explain the options.

use crate::call_counter::CallCounter;
use crate::measure::{Queue, Setting};
use anyhow::Context as _;
use graphile_worker::worker_utils::WorkerUtils;
use graphile_worker::{
    Database, IntoTaskHandlerResult, JobSpec, LocalQueueConfig, RawJobSpec, TaskHandler, Worker, WorkerContext,
    WorkerOptions,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

pub struct Graphile {
    pool: sqlx::PgPool,
    utils: WorkerUtils,
    batched: bool,
    worker: Option<Arc<Worker>>,
}

#[derive(Deserialize, Serialize)]
struct Noop {
    i: u64,
}

/// The counter for the handler, which looks it up by this type.
#[derive(Clone, Debug)]
struct Shared(Arc<CallCounter>);

impl TaskHandler for Noop {
    const IDENTIFIER: &'static str = "noop";

    async fn run(self, context: WorkerContext) -> impl IntoTaskHandlerResult {
        let shared = context.get_ext::<Shared>().ok_or("the worker has no counter")?;
        shared.0.call();
        Ok::<(), &'static str>(())
    }
}

impl Queue for Graphile {
    const NAME: &str = "graphile_worker (Rust)";
    const VERSION: &str = env!("GRAPHILE_WORKER_VERSION");
    const SETTINGS: &[Setting] = &[
        Setting { name: "defaults", description: "defaults (of a backlog: a job per core and second)", wakes: true },
        Setting {
            name: "batched",
            description: "concurrency 500, local queue 5000, completion batched for 5 ms",
            wakes: true,
        },
    ];
    const UNFINISHED: &str = "select count(*) from graphile_worker._private_jobs";

    async fn open(database: PgConnectOptions, setting: &str) -> anyhow::Result<Self> {
        // The crate uses the same pool size by default.
        let pool = PgPoolOptions::new().max_connections(20).connect_with(database).await?;
        let utils = WorkerUtils::new(Database::from(pool.clone()), "graphile_worker");
        utils.migrate().await?;
        Ok(Self { pool, utils, batched: setting == "batched", worker: None })
    }

    async fn enqueue(&mut self, from: u64, count: u64) -> anyhow::Result<()> {
        let jobs: Vec<RawJobSpec> = (from..from + count)
            .map(|i| RawJobSpec {
                identifier: Noop::IDENTIFIER.into(),
                payload: json!({ "i": i }),
                spec: JobSpec::default(),
            })
            .collect();
        self.utils.add_raw_jobs(&jobs).await?;
        Ok(())
    }

    async fn enqueue_one(&mut self) -> anyhow::Result<()> {
        self.utils.add_job(Noop { i: 0 }, JobSpec::default()).await?;
        Ok(())
    }

    async fn start(&mut self, handled: Arc<CallCounter>) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
        let mut options = WorkerOptions::default()
            .pg_pool(self.pool.clone())
            .listen_os_shutdown_signals(false)
            .add_extension(Shared(handled))
            .define_job::<Noop>();
        if self.batched {
            options = options
                .concurrency(500)
                .poll_interval(Duration::from_millis(5))
                .complete_job_batch_delay(Duration::from_millis(5))
                .local_queue(LocalQueueConfig::default().with_size(5000));
        }
        let worker = Arc::new(options.init().await?);
        self.worker = Some(Arc::clone(&worker));
        Ok(tokio::spawn(async move { worker.run().await.context("the worker failed") }))
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        self.worker.as_ref().context("the worker was not started")?.request_shutdown();
        Ok(())
    }
}
