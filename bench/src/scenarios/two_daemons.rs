//! Two dispatchers on one Postgres, compared with one. A claim skips the rows that the other
//! dispatcher has locked, so that two must not be slower than one. Each has a store with its own
//! connections and a runtime with its own threads.

use super::drain::{drain, fill};
use super::names::TWO_AGAINST_ONE;
use crate::context::Context;
use crate::findings::{Findings, Unit};
use crate::harness::Node;
use anyhow::ensure;
use tidegate_io_postgres::PgStore;

const ONE: &str = "one daemon";
const TWO: &str = "two daemons together";

pub(super) async fn postgres(context: &Context) -> anyhow::Result<Findings> {
    let rows: u32 = context.effort.choose(200_000, 60_000);
    let cluster = context.postgres().await?;
    let mut findings = Findings::default();
    for repeat in 1..=context.effort.repeats {
        for (daemons, series) in [(1, ONE), (2, TWO)] {
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
    findings.add_ratio(TWO_AGAINST_ONE, TWO, ONE);
    findings.pair(TWO, ONE);
    findings.note(format!(
        "{rows} events of one trigger, so that both daemons claim from one lane. Both daemons and the database share the cores \
         of the machine, so that a second daemon cannot add throughput here."
    ));
    Ok(findings)
}
