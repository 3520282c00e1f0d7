//! What is measured: one file per scenario.

mod backlog;
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
mod two_daemons;
mod wal;

pub use drain::sqlite_outbox_count;

use crate::context::Context;
use crate::findings::Findings;
use futures_util::future::LocalBoxFuture;

/// Something to measure.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// By which it is asked for.
    pub name: &'static str,
    /// What it measures, in a sentence.
    pub about: &'static str,
    /// Whether it is one of those that run when none is named.
    pub is_usual: bool,
    run: for<'a> fn(&'a Context) -> LocalBoxFuture<'a, anyhow::Result<Findings>>,
}

/// All of them, in the order in which they run.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "drain-postgres",
        about: "no-op native handlers drain a backlog on Postgres, one daemon; against the raw exchange loop",
        is_usual: true,
        run: |context| Box::pin(drain::postgres(context)),
    },
    Scenario {
        name: "drain-sqlite",
        about: "the same on SQLite; against its raw loop",
        is_usual: true,
        run: |context| Box::pin(drain::sqlite(context)),
    },
    Scenario {
        name: "two-daemons",
        about: "two daemons drain one Postgres together; against one",
        is_usual: true,
        run: |context| Box::pin(two_daemons::postgres(context)),
    },
    Scenario {
        name: "latency",
        about: "from emit to handler start while there is nothing else to do",
        is_usual: true,
        run: |context| Box::pin(latency::run(context)),
    },
    Scenario {
        name: "held-transaction",
        about: "2,000 events per second beside a transaction that somebody holds open; against without",
        is_usual: true,
        run: |context| Box::pin(held_transaction::postgres(context)),
    },
    Scenario {
        name: "backlog",
        about: "an exchange with 5,000,000 rows waiting; against 10,000",
        is_usual: true,
        run: |context| Box::pin(backlog::run(context)),
    },
    Scenario {
        name: "fairness",
        about: "an event every 100 ms beside a million rows of another trigger on a slow handler; against alone",
        is_usual: true,
        run: |context| Box::pin(fairness::run(context)),
    },
    Scenario {
        name: "sync-http",
        about: "no-op script calls over HTTP on the real daemon; against single commits",
        is_usual: true,
        run: |context| Box::pin(sync_http::run(context)),
    },
    Scenario {
        name: "scripts",
        about: "no-op scripts by the executor alone",
        is_usual: true,
        run: |context| Box::pin(scripts::run(context)),
    },
    Scenario {
        name: "kv-put",
        about: "puts of 64 clients, each with an event that is handled; against single commits",
        is_usual: true,
        run: |context| Box::pin(kv_put::run(context)),
    },
    Scenario {
        name: "wal",
        about: "bytes of WAL per delivery, from emit to done",
        is_usual: true,
        run: |context| Box::pin(wal::postgres(context)),
    },
    Scenario {
        name: "memory",
        about: "what the real daemon occupies, idle and draining a million rows",
        is_usual: true,
        run: |context| Box::pin(memory::run(context)),
    },
    Scenario {
        name: "peers",
        about: "other queues drain as many no-op jobs on the same server; they are installed first, and must be asked for",
        is_usual: false,
        run: |context| Box::pin(peers::run(context)),
    },
];

impl Scenario {
    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        ALL.iter().find(|scenario| scenario.name == name).copied()
    }

    /// Measures it.
    pub async fn run(self, context: &Context) -> anyhow::Result<Findings> {
        let begun = std::time::Instant::now();
        let findings = (self.run)(context).await?;
        Ok(Findings { scenario: self.name.to_owned(), took_s: begun.elapsed().as_secs_f64(), ..findings })
    }
}
