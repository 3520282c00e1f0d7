//! A steady stream of events while another client holds a transaction open for minutes. Postgres
//! cannot remove rows that were deleted since then, and a claim that walks over them again and
//! again slows down. The last minute is compared with the first. The same stream without the
//! transaction runs right before.

use super::names::{HELD_LAST, HELD_LOSS, HELD_P99};
use crate::context::Context;
use crate::findings::{Findings, Unit};
use crate::harness::{App, Database, LatencyProbe, Node, Tally};
use crate::progress::Progress;
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
/// A stream beside a held transaction has this many parts of equal length: minutes in a full run.
const PARTS: u32 = 5;

/// The figures of one stream.
struct Stream {
    per_second: f64,
    /// The time from an emit to the start of its handler, in the order of the starts.
    latencies_ms: Vec<f64>,
}

pub(super) async fn postgres(context: &Context) -> anyhow::Result<Findings> {
    let part = context.effort.choose(Duration::from_secs(60), Duration::from_secs(4));
    let cluster = context.postgres().await?;
    let mut findings = Findings::default();
    for repeat in 1..=context.effort.repeats {
        for (held, time, name) in [(false, part, "without"), (true, part * PARTS, "held")] {
            let step = format!("2,000 events/s, {name}, seconds of {}, repeat {repeat}", time.as_secs());
            context.progress.show_bar(step, time.as_secs());
            let database = cluster.database().await?;
            let stream = stream(&context.progress, &database, time, held).await?;
            cluster.remove(database).await?;
            add(&mut findings, name, &stream)?;
            if held {
                add_parts(&mut findings, &stream.latencies_ms)?;
            }
        }
        let last = |name: &str| findings.samples(name).last().copied().unwrap_or(f64::NAN);
        let loss = (1.0 - last("held: handled") / last("without: handled")) * 100.0;
        let slower = last("held: p99") / last("without: p99");
        findings.add(HELD_LOSS, Unit::Percent, loss);
        findings.add(HELD_P99, Unit::Times, slower);
    }
    findings.add_ratio(HELD_LAST, &part_name(PARTS), &part_name(1));
    findings.note(format!(
        "{RATE} events per second, with an emission every {PAUSE:?}: for {} s without another transaction, then for {} s on a \
         new database with it. A latency begins before the emit and ends with the start of the handler. The measured process \
         emits the events. The other transaction is `repeatable read`, has read a table and then stays idle.",
        part.as_secs(),
        (part * PARTS).as_secs()
    ));
    findings.note(format!("A fifth of the time with the held transaction is {} s.", part.as_secs()));
    Ok(findings)
}

fn add(findings: &mut Findings, name: &str, stream: &Stream) -> anyhow::Result<()> {
    findings.add(&format!("{name}: handled"), Unit::PerSecond, stream.per_second);
    for percent in [50.0, 99.0] {
        let value = percentile(&stream.latencies_ms, percent).context("no event was handled")?;
        findings.add(&format!("{name}: p{percent}"), Unit::Millis, value);
    }
    Ok(())
}

/// Adds the p99 of each part. The rate is fixed, so that parts of equal length have as many events.
fn add_parts(findings: &mut Findings, latencies_ms: &[f64]) -> anyhow::Result<()> {
    let events = latencies_ms.len() / PARTS as usize;
    ensure!(events > 0, "only {} events were handled", latencies_ms.len());
    for (number, part) in (1..=PARTS).zip(latencies_ms.chunks_exact(events)) {
        findings.add(&part_name(number), Unit::Millis, percentile(part, 99.0).context("no event was handled")?);
    }
    Ok(())
}

fn part_name(number: u32) -> String {
    format!("held: p99 of fifth {number}")
}

async fn stream(progress: &Progress, database: &Database, time: Duration, held: bool) -> anyhow::Result<Stream> {
    let mut node = Node::<PgStore>::open(&database.url).await?;
    let handler = Arc::new(LatencyProbe::new(TRIGGER, Duration::ZERO));
    let app = node.within(|store| async move { App::deploy(&*store, &[TRIGGER]).await }).await?;
    node.dispatch(Config::default(), Arc::clone(&handler), Tally::default());
    let mut other = database.client().await?;
    if held {
        other.execute(sql::transaction_hold).await?;
    }

    let (wake, stamps, progress) = (node.wake.clone(), Arc::clone(&handler), progress.clone());
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
                progress.set_position(started_at.elapsed().as_secs());
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
    node.stop().await?;
    let latencies_ms = handler.take();
    ensure!(
        latencies_ms.len() == emitted,
        "{} of {emitted} events were handled; each is handled once",
        latencies_ms.len()
    );
    Ok(Stream { per_second, latencies_ms })
}
