//! Measures queues in Rust with the same steps as the ones in Node.js and Python.
//!
//! Usage: `tidegate-bench-peers QUEUE SETTING JOBS DEADLINE_SECONDS`, with the URL of the server in
//! PEER_POSTGRES. Progress goes to stderr. The result goes to stdout as one line of JSON. A failure
//! has a non-zero exit code, and the last line on stderr is its reason.

mod apalis_queue;
mod call_counter;
mod database;
mod graphile_queue;
mod measure;

use anyhow::Context as _;
use measure::{Plan, measure};
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "usage: PEER_POSTGRES=postgres://… tidegate-bench-peers \
                     apalis-postgres|graphile_worker SETTING JOBS DEADLINE_SECONDS";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}", format!("{error:#}").replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<serde_json::Value> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [queue, setting, jobs, deadline] = arguments.as_slice() else { anyhow::bail!(USAGE) };
    let plan = Plan {
        server: std::env::var("PEER_POSTGRES").context(USAGE)?,
        setting: setting.clone(),
        jobs: jobs.parse().context(USAGE)?,
    };
    let deadline = Duration::from_secs(deadline.parse().context(USAGE)?);
    let measurement = async {
        match queue.as_str() {
            "apalis-postgres" => measure::<apalis_queue::Apalis>(&plan).await,
            "graphile_worker" => measure::<graphile_queue::Graphile>(&plan).await,
            _ => anyhow::bail!(USAGE),
        }
    };
    tokio::time::timeout(deadline, measurement)
        .await
        .with_context(|| format!("not done after {} s", deadline.as_secs()))?
}
