//! Two and four dispatchers on one Postgres, compared with one. Their claims from one lane must not
//! wait for each other, so that several are not slower together than one. Each has a store with its
//! own connections and a runtime with its own threads.

use super::drain::{drain, fill};
use super::names::{FOUR_AGAINST_ONE, TWO_AGAINST_ONE};
use crate::context::Context;
use crate::findings::{Findings, Unit};
use crate::harness::Node;
use anyhow::ensure;
use tidegate_io_postgres::PgStore;

const ONE: &str = "one daemon";
const TWO: &str = "two daemons together";
const FOUR: &str = "four daemons together";

pub(super) async fn postgres(context: &Context) -> anyhow::Result<Findings> {
    let rows: u32 = context.effort.choose(200_000, 60_000);
    let cluster = context.postgres().await?;
    let mut findings = Findings::default();
    for repeat in 1..=context.effort.repeats {
        for (daemons, series) in [(1, ONE), (2, TWO), (4, FOUR)] {
            let database = cluster.database().await?;
            let mut nodes = Vec::new();
            for _ in 0..daemons {
                nodes.push(Node::<PgStore>::open(&database.url).await?);
            }
            let lane = fill(context, &nodes[0], rows, &format!("Postgres for {series}, repeat {repeat}")).await?;
            database.vacuum_and_checkpoint().await?;
            findings.add(series, Unit::PerSecond, drain(context, nodes, lane, rows).await?);
            let left = database.outbox_count().await?;
            ensure!(left == 0, "{left} rows are left in the outbox after the drain");
            cluster.remove(database).await?;
        }
    }
    for (ratio, series) in [(TWO_AGAINST_ONE, TWO), (FOUR_AGAINST_ONE, FOUR)] {
        findings.add_ratio(ratio, series, ONE);
        findings.pair(series, ONE);
    }
    findings.note(format!(
        "{rows} events of one trigger, so that all daemons claim from one lane. All daemons and the database share the cores \
         of the machine, so that more daemons cannot add throughput here."
    ));
    Ok(findings)
}
