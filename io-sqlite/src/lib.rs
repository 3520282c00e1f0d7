//! The store on an SQLite file.
//!
//! The file is authoritative. A lock file beside it lets one process at a time open it. Within the
//! process one writer groups queued jobs into transactions, and readers see the last commit. A
//! commit is durable before it is answered (`synchronous = FULL`). When a process opens the file,
//! it expires all claims, because no other process can hold one.

mod apps;
mod blocking;
mod calls;
mod claims;
mod clock;
mod dead_letters;
mod deliveries;
mod dispatch;
mod effects;
mod emit;
mod error;
mod exchange;
mod files;
mod inline_claim;
mod kept_clock;
mod kv;
mod lane;
mod ledgers;
mod letters;
mod migrations;
mod open;
mod principals;
mod query;
mod queues;
mod readers;
mod retention;
mod rows;
mod savepoint;
mod scripts;
mod settle;
mod sql;
mod triggers;
mod write_health;
mod writer;

pub use migrations::MigrateError;
pub use open::{OpenError, SqliteOptions, SqliteStore};
pub use writer::Stats;
