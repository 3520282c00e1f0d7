//! What tests and automation start from outside: a throw-away Postgres cluster, and a daemon as a process of its own
//! that can be killed.
//!
//! It depends on nothing but the standard library, so that whoever waits for it to build waits for seconds.

mod daemon;
mod http;
mod port;
mod postgres;

pub use daemon::{Daemon, DaemonSpec};
pub use http::{HttpAnswer, get};
pub use port::free_port;
pub use postgres::{PgBinaries, PgCluster, PgError, PgOptions, StopMode};
