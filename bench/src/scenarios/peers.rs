//! Other queues drain a backlog of no-op jobs on the same server. In each repeat Tidegate drains
//! the same number first.

use super::drain;
use super::names::{AGAINST_PEERS, TIDEGATE};
use crate::context::Context;
use crate::findings::{Findings, Unit};
use crate::peers::{self, Outcome, PeerResult};
use anyhow::Context as _;

/// The series of the fastest peer in its fastest setting.
const BEST: &str = "the best peer";

pub(super) async fn run(context: &Context) -> anyhow::Result<Findings> {
    let jobs: u32 = context.effort.choose(200_000, 20_000);
    let cluster = context.postgres().await?;
    let mut findings = Findings::default();
    for repeat in 1..=context.effort.repeats {
        let rate = drain::postgres_once(context, jobs, repeat).await?;
        findings.add(TIDEGATE, Unit::PerSecond, rate);
        let (url, progress) = (cluster.url(), context.progress.clone());
        let results =
            tokio::task::spawn_blocking(move || peers::run(&url, u64::from(jobs), &mut |line| progress.show(line)))
                .await?;
        for result in &results {
            note(&mut findings, result, context.effort.repeats);
        }
        // A setting that is slow by design drains fewer jobs, so that its rate cannot be compared.
        let whole = |result: &&PeerResult| result.figures().is_some_and(|figures| figures.jobs == u64::from(jobs));
        let whole: Vec<_> = results.iter().filter(whole).cloned().collect();
        let best = peers::best(&whole).context("no peer drained all jobs")?;
        let rate = best.figures().context("the best peer has figures")?.per_second;
        findings.add(BEST, Unit::PerSecond, rate);
        findings.note(format!("The best peer of repeat {repeat}: {} with the settings {}.", best.peer, best.settings));
    }
    findings.add_ratio(AGAINST_PEERS, TIDEGATE, BEST);
    findings.pair(TIDEGATE, BEST);
    findings.note(format!(
        "{jobs} jobs are enqueued before the clock starts; settings that are slow by design drain fewer. Each job is one call \
         of a no-op handler. Commits are durable, and the table is empty when the clock stops. bench/peers/README.md lists \
         the differences in the work."
    ));
    Ok(findings)
}

/// Adds the figures of a peer. Their name has the number of jobs and of repeats, because settings
/// that are slow by design drain fewer jobs.
fn note(findings: &mut Findings, result: &PeerResult, repeats: u32) {
    let version = result.version.as_deref().unwrap_or("of unknown version");
    let name = format!("{} {version}, {}", result.peer, result.settings);
    match &result.outcome {
        Outcome::Measured(figures) => {
            let name = format!("{name}, {} jobs × {repeats}", figures.jobs);
            findings.add(&name, Unit::PerSecond, figures.per_second);
            if let Some(latency) = figures.latency_ms {
                findings.add(&format!("{name}: idle latency, p50"), Unit::Millis, latency.p50);
                findings.add(&format!("{name}: idle latency, p99"), Unit::Millis, latency.p99);
            }
        }
        Outcome::Failed { reason } => findings.note(format!("{name}: not measured: {reason}")),
    }
}
