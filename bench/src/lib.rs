//! Measures the speed of Tidegate on a Postgres server and SQLite files of its own, with durable
//! commits. Each figure is compared with a limit of the same machine, measured in the same run.

mod args;
mod command;
mod context;
mod findings;
mod harness;
mod limits;
mod machine;
mod other_work;
pub mod peers;
mod process;
mod progress;
mod report;
mod scenarios;
mod sql;
mod stats;
mod targets;

pub use args::Args;
pub use command::run;
pub use context::{Context, Effort};
pub use findings::{Findings, Pair, Series, Unit};
pub use harness::{App, Cluster, Database, Folder, Node, Noop, Store, Tally};
pub use limits::{PostgresLoop, RawClaim, postgres_exchange, sqlite_exchange};
pub use machine::Machine;
pub use progress::Progress;
pub use report::{FailedScenario, Report, markdown, svg, text};
pub use scenarios::{ALL, Scenario, sqlite_outbox_count};
pub use stats::{Summary, percentile};
pub use targets::{Bound, TARGETS, Target, Verdict};
