//! The limits of the databases on this machine, without Tidegate. Each is measured in the same run
//! as its figure, right before or after it.

mod commit;
mod postgres_exchange;
mod sqlite_exchange;

pub use postgres_exchange::{PostgresLoop, postgres_exchange};
pub use sqlite_exchange::{RawClaim, sqlite_exchange};

pub(crate) use commit::{postgres_commits, sqlite_commits};
pub(crate) use sqlite_exchange::on_sqlite;

/// The batch sizes of the raw loops. The faster one counts.
pub(crate) const BATCHES: [u32; 2] = [1_000, 2_000];
