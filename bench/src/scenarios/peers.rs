//! Other queues drain a backlog of as many no-op jobs on the same server, and Tidegate before each round of them.

use super::drain;
use super::names::{AGAINST_PEERS, TIDEGATE};
use crate::context::Context;
use crate::findings::{Findings, Unit};
use crate::peers::{self, Outcome, PeerResult};
use anyhow::Context as _;

/// The peer that drained most, in the setting that suited it best.
const BEST: &str = "the best peer";

pub(super) async fn run(context: &Context) -> anyhow::Result<Findings> {
    let jobs: u32 = context.effort.of(100_000, 20_000);
    let cluster = context.postgres().await?;
    let mut findings = Findings::default();
    for repeat in 1..=context.effort.repeats {
        let rate = drain::postgres_once(context, jobs, repeat).await?;
        findings.add(TIDEGATE, Unit::PerSecond, rate);
        let (url, progress) = (cluster.url(), context.progress.clone());
        let results =
            tokio::task::spawn_blocking(move || peers::run(&url, u64::from(jobs), &mut |line| progress.says(line)))
                .await?;
        for result in &results {
            note(&mut findings, result);
        }
        let best = peers::best(&results).and_then(PeerResult::measured).context("no peer could be measured")?;
        findings.add(BEST, Unit::PerSecond, best.per_second);
    }
    findings.add_ratio(AGAINST_PEERS, TIDEGATE, BEST);
    findings.pair(TIDEGATE, BEST);
    findings.note(format!(
        "{jobs} jobs, enqueued before the clock starts; settings that are slow by design drain fewer. One handler call for \
         each job, which does nothing; durable commits; the table is empty when the clock stops. bench/peers/README.md tells \
         what is not the same work."
    ));
    Ok(findings)
}

fn note(findings: &mut Findings, result: &PeerResult) {
    let version = result.version.as_deref().unwrap_or("of unknown version");
    let name = format!("{} {version}, {}", result.peer, result.settings);
    match &result.outcome {
        Outcome::Measured(measured) => {
            findings.add(&name, Unit::PerSecond, measured.per_second);
            if let Some(latency) = measured.latency_ms {
                findings.add(&format!("{name}: idle latency, p50"), Unit::Millis, latency.p50);
                findings.add(&format!("{name}: idle latency, p99"), Unit::Millis, latency.p99);
            }
        }
        Outcome::Failed { reason } => findings.note(format!("{name}: not measured: {reason}")),
    }
}
