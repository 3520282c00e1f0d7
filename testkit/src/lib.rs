//! Real servers for tests: a throw-away Postgres cluster, and a daemon as a process that can be
//! killed.
//!
//! This crate depends only on the standard library, so it builds in seconds.

mod daemon;
mod http;
mod port;
mod postgres;

pub use daemon::{Daemon, DaemonSpec};
pub use http::{HttpAnswer, get};
pub use port::free_port;
pub use postgres::{PgBinaries, PgCluster, PgError, PgOptions, StopMode};
