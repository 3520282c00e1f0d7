//! What the stores themselves can do on this machine at this moment, without Tidegate: the yardsticks. Each is measured
//! in the same run as what it is the limit of, one right after the other.

mod commit;
mod postgres_exchange;
mod sqlite_exchange;

pub use sqlite_exchange::sqlite_exchange;

pub(crate) use commit::{postgres_commits, sqlite_commits};
pub(crate) use postgres_exchange::postgres_exchange;
pub(crate) use sqlite_exchange::on_sqlite;

/// How many rows the raw loops settle and claim at once. The better one counts.
pub(crate) const BATCHES: [u32; 2] = [1_000, 2_000];
