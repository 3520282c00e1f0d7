//! The scenarios, one in each file.

mod backlog;
mod daemons;
mod dead_tuples;
mod drain;
mod fairness;
mod held_transaction;
mod kv_put;
mod latency;
mod memory;
pub(crate) mod names;
mod peers;
mod scripts;
mod sync_http;
mod wal;

pub use drain::sqlite_outbox_count;

use crate::context::Context;
use crate::findings::Findings;
use futures_util::future::LocalBoxFuture;

/// A scenario: one or more figures with their limits.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// The name on the command line.
    pub name: &'static str,
    /// One sentence about its figures.
    pub about: &'static str,
    /// It runs if no scenario is named.
    pub is_usual: bool,
    run: for<'a> fn(&'a Context) -> LocalBoxFuture<'a, anyhow::Result<Findings>>,
}

/// All scenarios, in the order in which they run.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "drain-postgres",
        about: "one daemon drains a backlog on Postgres with no-op native handlers, compared with the raw exchange loops and with a tenth of the rows",
        is_usual: true,
        run: |context| Box::pin(drain::postgres(context)),
    },
    Scenario {
        name: "drain-sqlite",
        about: "one daemon drains a backlog on SQLite with no-op native handlers, compared with the raw loop and with a tenth of the rows",
        is_usual: true,
        run: |context| Box::pin(drain::sqlite(context)),
    },
    Scenario {
        name: "daemons",
        about: "two and four daemons drain one lane on one Postgres, compared with one daemon",
        is_usual: true,
        run: |context| Box::pin(daemons::postgres(context)),
    },
    Scenario {
        name: "latency",
        about: "the time from an emit to the start of its handler on an idle system",
        is_usual: true,
        run: |context| Box::pin(latency::run(context)),
    },
    Scenario {
        name: "held-transaction",
        about: "2,000 events per second while another client holds a transaction open for five minutes, compared with no such transaction",
        is_usual: true,
        run: |context| Box::pin(held_transaction::postgres(context)),
    },
    Scenario {
        name: "backlog",
        about: "the duration of an exchange with a backlog of 5,000,000 rows, compared with 10,000 rows",
        is_usual: true,
        run: |context| Box::pin(backlog::run(context)),
    },
    Scenario {
        name: "fairness",
        about: "the latency of an event every 100 ms while a million rows of another trigger wait for a slow handler, compared with no such rows",
        is_usual: true,
        run: |context| Box::pin(fairness::run(context)),
    },
    Scenario {
        name: "sync-http",
        about: "no-op script calls over HTTP on the real daemon, compared with single commits",
        is_usual: true,
        run: |context| Box::pin(sync_http::run(context)),
    },
    Scenario {
        name: "scripts",
        about: "no-op scripts in the executor, without a store",
        is_usual: true,
        run: |context| Box::pin(scripts::run(context)),
    },
    Scenario {
        name: "kv-put",
        about: "puts of 64 clients, each with one handled event, compared with single commits",
        is_usual: true,
        run: |context| Box::pin(kv_put::run(context)),
    },
    Scenario {
        name: "wal",
        about: "the bytes of WAL per delivery, from its emit until it is done",
        is_usual: true,
        run: |context| Box::pin(wal::postgres(context)),
    },
    Scenario {
        name: "dead-tuples",
        about: "the dead row versions in the tables of the queue, at 800 events per second for five minutes",
        is_usual: true,
        run: |context| Box::pin(dead_tuples::postgres(context)),
    },
    Scenario {
        name: "memory",
        about: "the memory of the real daemon, idle and while it drains a million rows",
        is_usual: true,
        run: |context| Box::pin(memory::run(context)),
    },
    Scenario {
        name: "peers",
        about: "other queues drain 200,000 no-op jobs on the same server; installs them first, and runs only if named",
        is_usual: false,
        run: |context| Box::pin(peers::run(context)),
    },
];

impl Scenario {
    /// The scenario with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        ALL.iter().find(|scenario| scenario.name == name).copied()
    }

    pub async fn run(self, context: &Context) -> anyhow::Result<Findings> {
        let started_at = std::time::Instant::now();
        let findings = (self.run)(context).await?;
        Ok(Findings { scenario: self.name.to_owned(), took_s: started_at.elapsed().as_secs_f64(), ..findings })
    }
}
