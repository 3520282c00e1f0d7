//! A steady stream of events while another client holds a transaction open. Postgres cannot remove
//! rows that were deleted since then, and a claim that walks over them again and again slows down.
//! The same stream without the transaction runs right before.

use super::names::{HELD_LOSS, HELD_P99};
use crate::context::Context;
use crate::findings::{Findings, Unit};
use crate::harness::{App, Database, LatencyProbe, Node, Tally};
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
/// The rate of the stream in events per second.
const RATE: f64 = 2_000.0;
/// The time between two emissions.
const PAUSE: Duration = Duration::from_millis(10);

/// The figures of one stream.
struct Stream {
    per_second: f64,
    p50: f64,
    p99: f64,
    last_p99: f64,
}

pub(super) async fn postgres(context: &Context) -> anyhow::Result<Findings> {
    let time = context.effort.choose(Duration::from_secs(60), Duration::from_secs(12));
    let cluster = context.postgres().await?;
    let mut findings = Findings::default();
    for repeat in 1..=context.effort.repeats {
        for (held, name) in [(false, "without"), (true, "held")] {
            context.progress.show(format!("2,000 events/s for {} s, {name}, repeat {repeat}", time.as_secs()));
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
        "{RATE} events per second for {} s, with an emission every {PAUSE:?}. A latency begins before the emit and ends with \
         the start of the handler. The measured process emits the events. The other transaction is `repeatable read`, has \
         read a table and then stays idle.",
        time.as_secs()
    ));
    Ok(findings)
}

async fn stream(database: &Database, time: Duration, held: bool) -> anyhow::Result<Stream> {
    let mut node = Node::<PgStore>::open(&database.url).await?;
    let handler = Arc::new(LatencyProbe::new(TRIGGER, Duration::ZERO));
    let app = node.within(|store| async move { App::deploy(&*store, &[TRIGGER]).await }).await?;
    node.dispatch(Config::default(), Arc::clone(&handler), Tally::default());
    let mut other = database.client().await?;
    if held {
        other.execute(sql::transaction_hold).await?;
    }

    let (wake, stamps) = (node.wake.clone(), Arc::clone(&handler));
    let (emitted, (handled, duration)) = node
        .within(move |store| async move {
            let emitter = OutboxEventEmitter::new(store, wake);
            let (started_at, mut emitted) = (Instant::now(), 0);
            while started_at.elapsed() < time {
                // The number of due events comes from the clock, so that a slow emit is followed by
                // a larger one.
                let due = (started_at.elapsed().as_secs_f64() * RATE) as usize;
                if due > emitted {
                    let stamp = stamps.stamp()?;
                    emitter.emit(app.emission(TRIGGER, vec![stamp; due - emitted])?).await?;
                    emitted = due;
                }
                tokio::time::sleep(PAUSE).await;
            }
            // Events that are not handled by now count as the loss.
            let handled = stamps.count();
            Ok((emitted, (handled, started_at.elapsed())))
        })
        .await?;
    let per_second = handled as f64 / duration.as_secs_f64();
    handler.wait_for(emitted).await?;
    if held {
        other.execute(sql::transaction_end).await?;
    }
    let latencies_ms = handler.take();
    ensure!(
        latencies_ms.len() == emitted,
        "{} of {emitted} events were handled; each is handled once",
        latencies_ms.len()
    );
    let of = |latencies_ms: &[f64], percent| percentile(latencies_ms, percent).context("no event was handled");
    let last = &latencies_ms[latencies_ms.len() * 3 / 4..];
    let figures =
        Stream { per_second, p50: of(&latencies_ms, 50.0)?, p99: of(&latencies_ms, 99.0)?, last_p99: of(last, 99.0)? };
    node.stop().await?;
    Ok(figures)
}
