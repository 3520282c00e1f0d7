//! The bytes of WAL on Postgres for one delivery, from its emit until it is done. Replicas,
//! archives and the disk receive these bytes.

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
/// The number of events in one emission of the stream.
const EVENTS_PER_EMISSION: usize = 20;
const PAUSE: Duration = Duration::from_millis(10);

pub(super) async fn postgres(context: &Context) -> anyhow::Result<Findings> {
    let rows: u32 = context.effort.choose(60_000, 20_000);
    let cluster = context.postgres().await?;
    let mut findings = Findings::default();
    for repeat in 1..=context.effort.repeats {
        context.progress.show(format!("WAL of a backlog, repeat {repeat}"));
        let database = cluster.database().await?;
        let node = Node::<PgStore>::open(&database.url).await?;
        let before = wal_bytes(&database).await?;
        let lane = fill(context, &node, rows, &format!("Postgres, repeat {repeat}")).await?;
        let emitted = wal_bytes(&database).await?;
        drain(context, vec![node], lane, rows).await?;
        let after = wal_bytes(&database).await?;
        findings.add("backlog: WAL of the emit", Unit::Bytes, (emitted - before) / f64::from(rows));
        findings.add("backlog: WAL of claim and settlement", Unit::Bytes, (after - emitted) / f64::from(rows));
        findings.add(WAL_BACKLOG, Unit::Bytes, (after - before) / f64::from(rows));
        cluster.remove(database).await?;

        context.progress.show(format!("WAL of a stream, repeat {repeat}"));
        let database = cluster.database().await?;
        let mut node = Node::<PgStore>::open(&database.url).await?;
        let app = node.within(|store| async move { App::deploy(&*store, &[TRIGGER]).await }).await?;
        database.vacuum_and_checkpoint().await?;
        let before = wal_bytes(&database).await?;
        let events = rows / 4;
        let tally = Tally::with_goal(u64::from(events));
        node.dispatch(Config::default(), Arc::new(Noop), tally.clone());
        let wake = node.wake.clone();
        node.within(move |store| async move {
            let emitter = OutboxEventEmitter::new(store, wake);
            let data = tidegate_core::Json::parse(crate::harness::SMALL)?;
            for _ in 0..events as usize / EVENTS_PER_EMISSION {
                emitter.emit(app.emission(TRIGGER, vec![data.clone(); EVENTS_PER_EMISSION])?).await?;
                tokio::time::sleep(PAUSE).await;
            }
            Ok(())
        })
        .await?;
        tally.wait_for_goal(|_| {}).await?;
        node.stop().await?;
        findings.add(WAL_LIVE, Unit::Bytes, (wal_bytes(&database).await? - before) / f64::from(events));
        cluster.remove(database).await?;
    }
    findings.note(format!(
        "The difference of pg_current_wal_lsn on a server without other work. It includes commits, vacuums and full page \
         images after a checkpoint. The backlog has {rows} events, emitted 1,000 at a time and then drained. The stream has \
         emissions of {EVENTS_PER_EMISSION} events with a running dispatcher. The data of an event has {} bytes.",
        crate::harness::SMALL.len()
    ));
    Ok(findings)
}

/// The bytes of WAL that the server has written so far.
async fn wal_bytes(database: &Database) -> anyhow::Result<f64> {
    Ok(sqlx::query_scalar(sql::wal_written).fetch_one(&mut database.client().await?).await?)
}
