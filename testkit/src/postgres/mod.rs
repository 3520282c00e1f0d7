mod binaries;
mod cluster;
mod error;
mod guardian;
mod user;

pub use binaries::PgBinaries;
pub use cluster::{Frozen, PgCluster, PgOptions, StopMode};
pub use error::PgError;
