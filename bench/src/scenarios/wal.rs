//! How many bytes one delivery writes to Postgres's log from its emit until it is done: what replicas are sent, what
//! archives keep and what the disk must swallow.

use super::drain::{drain, fill};
use super::names::{WAL_BACKLOG, WAL_LIVE};
use crate::context::Context;
use crate::findings::{Findings, Unit};
use crate::harness::{App, Database, Node, Noop, Tally};
use crate::sql;
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::Config;
use tidegate_io_postgres::PgStore;
use tidegate_ports::{EventEmitter as _, OutboxEventEmitter};

const TRIGGER: &str = "go";
/// Events in one emission while the dispatcher runs.
const EMISSION: usize = 20;
const PAUSE: Duration = Duration::from_millis(10);

pub(super) async fn postgres(context: &Context) -> anyhow::Result<Findings> {
    let rows: u32 = context.effort.of(60_000, 20_000);
    let cluster = context.postgres().await?;
    let mut findings = Findings::default();
    for repeat in 1..=context.effort.repeats {
        context.progress.says(format!("WAL of a backlog, repeat {repeat}"));
        let database = cluster.database().await?;
        let node = Node::<PgStore>::open(&database.url).await?;
        let before = written(&database).await?;
        let lane = fill(context, &node, rows, &format!("Postgres, repeat {repeat}")).await?;
        let emitted = written(&database).await?;
        drain(context, vec![node], lane, rows).await?;
        let after = written(&database).await?;
        findings.add("backlog: of the emit", Unit::Bytes, (emitted - before) / f64::from(rows));
        findings.add("backlog: of claim and settlement", Unit::Bytes, (after - emitted) / f64::from(rows));
        findings.add(WAL_BACKLOG, Unit::Bytes, (after - before) / f64::from(rows));
        cluster.remove(database).await?;

        context.progress.says(format!("WAL of a stream, repeat {repeat}"));
        let database = cluster.database().await?;
        let mut node = Node::<PgStore>::open(&database.url).await?;
        let app = node.within(|store| async move { App::deploy(&*store, &[TRIGGER]).await }).await?;
        database.settle_down().await?;
        let before = written(&database).await?;
        let events = rows / 4;
        let tally = Tally::until(u64::from(events));
        node.dispatch(Config::default(), Arc::new(Noop), tally.clone());
        let wake = node.wake.clone();
        node.within(move |store| async move {
            let emitter = OutboxEventEmitter::new(store, wake);
            let data = tidegate_core::Json::parse(crate::harness::SMALL)?;
            for _ in 0..events as usize / EMISSION {
                emitter.emit(app.emission(TRIGGER, vec![data.clone(); EMISSION])?).await?;
                tokio::time::sleep(PAUSE).await;
            }
            Ok(())
        })
        .await?;
        tally.reached(|_| {}).await?;
        node.stop().await?;
        findings.add(WAL_LIVE, Unit::Bytes, (written(&database).await? - before) / f64::from(events));
        cluster.remove(database).await?;
    }
    findings.note(format!(
        "By the difference of pg_current_wal_lsn on a server that does nothing else, so with everything: commits, \
         vacuums, images of pages after a checkpoint. Backlog: {rows} events in thousands, then drained. Stream: \
         emissions of {EMISSION}, handled while they come. The data of an event has {} bytes.",
        crate::harness::SMALL.len()
    ));
    Ok(findings)
}

/// All that the server has written so far.
async fn written(database: &Database) -> anyhow::Result<f64> {
    Ok(sqlx::query_scalar(sql::wal_written).fetch_one(&mut database.client().await?).await?)
}
