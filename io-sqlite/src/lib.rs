//! Tidegate's store on an SQLite file.
//!
//! Who is authoritative: the file. One process at a time has it open, which a lock beside it sees to; within the
//! process one writer groups what waits into one transaction, and readers see the last commit. A commit is durable
//! when it is answered (`synchronous = FULL`). After a crash the next opener finds every lease expired at once,
//! because nobody else can hold one.

mod apps;
mod blocking;
mod calls;
mod clock;
mod dead_letters;
mod deliveries;
mod dispatch;
mod effects;
mod emit;
mod error;
mod exchange;
mod inline_claim;
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
mod rows;
mod savepoint;
mod scripts;
mod settle;
mod sql;
mod triggers;
mod writer;

pub use migrations::MigrateError;
pub use open::{OpenError, SqliteOptions, SqliteStore};
pub use writer::Stats;
