//! Puts of 64 concurrent clients. Each put emits an event for one trigger, and handlers run at the
//! same time. Every answered put is durable. Puts that arrive together share a commit, so that
//! their rate is above the rate of single commits.

use super::names::{KV_POSTGRES, KV_SQLITE};
use crate::context::Context;
use crate::findings::{Findings, Unit};
use crate::harness::{App, Node, Noop, Store, Tally};
use crate::limits::{postgres_commits, sqlite_commits};
use anyhow::ensure;
use futures_util::future::try_join_all;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_core::{Collection, Config, Json, Key, KvOps, Match, Pattern};
use tidegate_io_postgres::PgStore;
use tidegate_io_sqlite::SqliteStore;
use tidegate_ports::{Guard, KvStore};

const TRIGGER: &str = "put";
const CLIENTS: usize = 64;

pub(super) async fn run(context: &Context) -> anyhow::Result<Findings> {
    let time = context.effort.choose(Duration::from_secs(8), Duration::from_secs(3));
    let mut findings = Findings::default();
    for repeat in 1..=context.effort.repeats {
        let cluster = context.postgres().await?;
        let database = cluster.database().await?;
        context.progress.show(format!("single commits on Postgres, repeat {repeat}"));
        findings.add("Postgres: single commits", Unit::PerSecond, postgres_commits(&database, time / 2).await?);
        context.progress.show(format!("puts on Postgres, repeat {repeat}"));
        let node = Node::<PgStore>::open(&database.url).await?;
        findings.add("Postgres: puts", Unit::PerSecond, puts(node, time).await?);
        ensure!(database.outbox_count().await? == 0, "rows are left in the outbox after the puts");
        cluster.remove(database).await?;

        let folder = context.folder.make()?;
        context.progress.show(format!("single commits on SQLite, repeat {repeat}"));
        let commits = sqlite_commits(&folder.join("commits.db"), time / 2).await?;
        findings.add("SQLite: single commits", Unit::PerSecond, commits);
        context.progress.show(format!("puts on SQLite, repeat {repeat}"));
        let node = Node::<SqliteStore>::open(&folder.join("tidegate.db")).await?;
        findings.add("SQLite: puts", Unit::PerSecond, puts(node, time).await?);
        std::fs::remove_dir_all(folder)?;
    }
    for (store, ratio) in [("Postgres", KV_POSTGRES), ("SQLite", KV_SQLITE)] {
        let (puts, commits) = (format!("{store}: puts"), format!("{store}: single commits"));
        findings.add_ratio(ratio, &puts, &commits);
        findings.pair(&puts, &commits);
    }
    findings.note(format!(
        "{CLIENTS} clients put values for {} s, each one after the other, through the port of the store and without HTTP. Each \
         put emits one event, and a no-op handler runs for it. Clients, dispatcher and database share the cores of the \
         machine.",
        time.as_secs()
    ));
    Ok(findings)
}

/// Returns the puts per second, after all their events are handled.
async fn puts<S: Store>(mut node: Node<S>, time: Duration) -> anyhow::Result<f64> {
    let tally = Tally::default();
    let rule = Match::Kv { ops: KvOps::default(), collection: Pattern::any(), key: Pattern::any() };
    let app = node.within(|store| async move { App::deploy_rules(&*store, vec![(TRIGGER, rule)]).await }).await?;
    node.dispatch(Config::default(), Arc::new(Noop), tally.clone());
    let started_at = Instant::now();
    let clients = (0..CLIENTS).map(|client| {
        let app = app.clone();
        node.within(move |store| async move {
            let (collection, cause) = (Collection::new("orders")?, app.cause());
            let value = Json::parse(crate::harness::SMALL)?;
            let mut puts = 0_u32;
            while started_at.elapsed() < time {
                let key = Key::new(format!("{client}-{puts}"))?;
                let put =
                    KvStore::put(&*store, app.name(), &collection, &key, value.clone(), Guard::Any, &cause).await?;
                ensure!(
                    put.emitted.lanes.len() == 1,
                    "a put made {} deliveries; each makes one",
                    put.emitted.lanes.len()
                );
                puts += 1;
            }
            Ok(puts)
        })
    });
    let puts: u32 = try_join_all(clients).await?.iter().sum();
    let rate = f64::from(puts) / started_at.elapsed().as_secs_f64();
    tally.set_goal(u64::from(puts));
    tally.wait_for_goal(|_| {}).await?;
    node.stop().await?;
    Ok(rate)
}
