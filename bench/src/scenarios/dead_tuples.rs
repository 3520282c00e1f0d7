//! A steady stream of single events for minutes: the row versions that no transaction can see any
//! more, in all tables of the queue. A queue that leaves many slows down its own claims, and
//! everything else that shares its buffers and vacuums.
//!
//! The scenario is the one of the queue benchmarks of brandur and hardbyte: a steady rate, a sample
//! every few seconds, and the median of the samples.

use super::names::DEAD_TUPLES;
use crate::context::Context;
use crate::findings::{Findings, Unit};
use crate::harness::{App, Database, LatencyProbe, Node, Tally};
use crate::sql;
use crate::stats::percentile;
use anyhow::{Context as _, ensure};
use futures_util::future::try_join_all;
use sqlx::{Connection as _, Executor as _, PgConnection};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_core::Config;
use tidegate_io_postgres::PgStore;
use tidegate_ports::{EventEmitter as _, OutboxEventEmitter};

const TRIGGER: &str = "go";
/// The rate of the stream in events per second. Each event is one emit with its own commit.
const RATE: u32 = 800;
/// The emitters take turns, so that one slow commit does not delay the next events.
const EMITTERS: u32 = 8;
const SAMPLE_INTERVAL: Duration = Duration::from_secs(3);

/// The samples of one stream.
#[derive(Default)]
struct Samples {
    /// As the statistics of the server count them.
    counted: Vec<f64>,
    /// As a read of all pages finds them. Empty if the server has no extension pgstattuple.
    found: Vec<f64>,
}

pub(super) async fn postgres(context: &Context) -> anyhow::Result<Findings> {
    let time = context.effort.choose(Duration::from_secs(300), Duration::from_secs(15));
    let cluster = context.postgres().await?;
    let mut findings = Findings::default();
    for repeat in 1..=context.effort.repeats {
        let database = cluster.database().await?;
        let step = format!("{RATE} events/s, seconds of {}, repeat {repeat}", time.as_secs());
        context.progress.show_bar(step, time.as_secs());
        stream(context, &mut findings, &database, time).await?;
        cluster.remove(database).await?;
    }
    findings.note(format!(
        "{RATE} emits of one event per second for {} s, with a no-op handler. A sample every {SAMPLE_INTERVAL:?} adds up all \
         tables of the schema: n_dead_tup of pg_stat_user_tables, which the server estimates and updates about once a second. \
         The lines with \"all pages\" are an exact count by pgstattuple at the same moments; they leave out row versions that \
         are pruned to their line pointer. Autovacuum runs with the defaults of the server and the settings of the tables.",
        time.as_secs()
    ));
    if context.effort.quick {
        findings.note(
            "A quick run ends before the first autovacuum, so that its figures are smaller than those of a full run.",
        );
    }
    Ok(findings)
}

async fn stream(context: &Context, findings: &mut Findings, database: &Database, time: Duration) -> anyhow::Result<()> {
    let mut node = Node::<PgStore>::open(&database.url).await?;
    let handler = Arc::new(LatencyProbe::new(TRIGGER, Duration::ZERO));
    let app = node.within(|store| async move { App::deploy(&*store, &[TRIGGER]).await }).await?;
    node.dispatch(Config::default(), Arc::clone(&handler), Tally::default());
    let mut client = database.client().await?;
    let has_extension = client.execute(sql::dead_tuples_extension).await.is_ok();
    if !has_extension {
        findings.note("The server has no extension pgstattuple, so that only its statistics were read.");
    }

    let started_at = Instant::now();
    let emitters = (0..EMITTERS).map(|emitter| {
        node.within({
            let (app, wake, stamps) = (app.clone(), node.wake.clone(), Arc::clone(&handler));
            move |store| async move {
                let emits = OutboxEventEmitter::new(store, wake);
                let events = (emitter..time.as_secs() as u32 * RATE).step_by(EMITTERS as usize);
                let count = events.len();
                for event in events {
                    // Each event has its moment, so that a slow emit does not lower the rate.
                    let due_at = Duration::from_secs_f64(f64::from(event) / f64::from(RATE));
                    tokio::time::sleep(due_at.saturating_sub(started_at.elapsed())).await;
                    emits.emit(app.emission(TRIGGER, vec![stamps.stamp()?])?).await?;
                }
                Ok(count)
            }
        })
    });
    let sampling = async {
        let mut samples = Samples::default();
        while started_at.elapsed() < time {
            tokio::time::sleep(SAMPLE_INTERVAL).await;
            samples.take(&mut client, has_extension).await?;
            context.progress.set_position(started_at.elapsed().as_secs());
        }
        anyhow::Ok(samples)
    };
    let (emitted, samples) = tokio::try_join!(try_join_all(emitters), sampling)?;
    let emitted: usize = emitted.into_iter().sum();
    let rate = handler.count() as f64 / started_at.elapsed().as_secs_f64();
    handler.wait_for(emitted).await?;
    node.stop().await?;
    client.close().await?;
    let latencies_ms = handler.take();
    ensure!(latencies_ms.len() == emitted, "{} of {emitted} events were handled", latencies_ms.len());

    findings.add("handled", Unit::PerSecond, rate);
    for percent in [50.0, 99.0] {
        let value = percentile(&latencies_ms, percent).context("no event was handled")?;
        findings.add(&format!("emit to start, p{percent}"), Unit::Millis, value);
    }
    samples.add_to(findings)
}

impl Samples {
    async fn take(&mut self, client: &mut PgConnection, has_extension: bool) -> anyhow::Result<()> {
        self.counted.push(sqlx::query_scalar(sql::dead_tuples_counted).fetch_one(&mut *client).await?);
        if has_extension {
            self.found.push(sqlx::query_scalar(sql::dead_tuples_found).fetch_one(&mut *client).await?);
        }
        Ok(())
    }

    fn add_to(&self, findings: &mut Findings) -> anyhow::Result<()> {
        findings.add(DEAD_TUPLES, Unit::Count, percentile(&self.counted, 50.0).context("there is no sample")?);
        findings.add("dead tuples, largest", Unit::Count, percentile(&self.counted, 100.0).context("no sample")?);
        for (percent, name) in [(50.0, "all pages: dead tuples, median"), (100.0, "all pages: dead tuples, largest")] {
            if let Some(value) = percentile(&self.found, percent) {
                findings.add(name, Unit::Count, value);
            }
        }
        Ok(())
    }
}
