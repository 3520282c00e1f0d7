//! A steady stream while somebody else holds a transaction open: what was deleted since then cannot be cleaned up, and a
//! claim that walks it again and again gets slower and slower. The same stream without it comes right before.

use super::names::{HELD_LOSS, HELD_P99};
use crate::context::Context;
use crate::findings::{Findings, Unit};
use crate::harness::{App, Clocked, Database, Node, Tally};
use crate::sql;
use crate::stats::percentile;
use anyhow::{Context as _, ensure};
use sqlx::Executor as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_core::Config;
use tidegate_io_postgres::PgStore;
use tidegate_ports::{EventEmitter as _, OutboxEventEmitter};

const TRIGGER: &str = "go";
/// Events per second.
const RATE: f64 = 2_000.0;
/// Between two emissions.
const PAUSE: Duration = Duration::from_millis(10);

/// What one stream came to.
struct Stream {
    per_second: f64,
    p50: f64,
    p99: f64,
    last_p99: f64,
}

pub(super) async fn postgres(context: &Context) -> anyhow::Result<Findings> {
    let time = context.effort.of(Duration::from_secs(60), Duration::from_secs(12));
    let cluster = context.postgres().await?;
    let mut findings = Findings::default();
    for repeat in 1..=context.effort.repeats {
        for (held, name) in [(false, "without"), (true, "held")] {
            context.progress.says(format!("2,000 events/s for {} s, {name}, repeat {repeat}", time.as_secs()));
            let database = cluster.database().await?;
            let stream = stream(&database, time, held).await?;
            findings.add(&format!("{name}: handled"), Unit::PerSecond, stream.per_second);
            findings.add(&format!("{name}: p50"), Unit::Millis, stream.p50);
            findings.add(&format!("{name}: p99"), Unit::Millis, stream.p99);
            findings.add(&format!("{name}: p99 of the last quarter"), Unit::Millis, stream.last_p99);
            cluster.remove(database).await?;
        }
        let last = |name: &str| findings.samples(name).last().copied().unwrap_or(f64::NAN);
        let loss = (1.0 - last("held: handled") / last("without: handled")) * 100.0;
        let slower = last("held: p99") / last("without: p99");
        findings.add(HELD_LOSS, Unit::Percent, loss);
        findings.add(HELD_P99, Unit::Times, slower);
    }
    findings.note(format!(
        "{RATE} events per second for {} s, in emissions every {PAUSE:?}; from before the emit until the handler starts. \
         The stream comes from the measured process. The other transaction is `repeatable read`, has read something \
         and does nothing more.",
        time.as_secs()
    ));
    Ok(findings)
}

async fn stream(database: &Database, time: Duration, held: bool) -> anyhow::Result<Stream> {
    let mut node = Node::<PgStore>::open(&database.url).await?;
    let handler = Arc::new(Clocked::of(TRIGGER, Duration::ZERO));
    let app = node.within(|store| async move { App::deploy(&*store, &[TRIGGER]).await }).await?;
    node.dispatch(Config::default(), Arc::clone(&handler), Tally::default());
    let mut other = database.client().await?;
    if held {
        other.execute(sql::transaction_hold).await?;
    }

    let (wake, stamps) = (node.wake.clone(), Arc::clone(&handler));
    let (emitted, took) = node
        .within(move |store| async move {
            let emitter = OutboxEventEmitter::new(store, wake);
            let (begun, mut emitted) = (Instant::now(), 0);
            while begun.elapsed() < time {
                // By the clock and not by the pause: what a slow emit delays is made up for.
                let due = (begun.elapsed().as_secs_f64() * RATE) as usize;
                if due > emitted {
                    let stamp = stamps.stamp()?;
                    emitter.emit(app.emission(TRIGGER, vec![stamp; due - emitted])?).await?;
                    emitted = due;
                }
                tokio::time::sleep(PAUSE).await;
            }
            // What is not handled by now is the loss.
            let handled = stamps.count();
            Ok((emitted, (handled, begun.elapsed())))
        })
        .await?;
    let per_second = took.0 as f64 / took.1.as_secs_f64();
    handler.wait_for(emitted).await?;
    if held {
        other.execute(sql::transaction_end).await?;
    }
    let waited = handler.take();
    ensure!(waited.len() == emitted, "{} of {emitted} events were handled, each once was expected", waited.len());
    let of = |waited: &[f64], percent| percentile(waited, percent).context("nothing was handled");
    let last = &waited[waited.len() * 3 / 4..];
    let found = Stream { per_second, p50: of(&waited, 50.0)?, p99: of(&waited, 99.0)?, last_p99: of(last, 99.0)? };
    node.stop().await?;
    Ok(found)
}
