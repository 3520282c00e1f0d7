//! Real servers for tests: a throw-away Postgres cluster, a proxy that can fall silent, a daemon as
//! a process that can be killed, and a clock that can be set.
//!
//! This crate depends only on the standard library, so it builds in seconds.

#[cfg(target_os = "linux")]
mod clock;
mod daemon;
mod http;
mod port;
mod postgres;
mod proxy;

#[cfg(target_os = "linux")]
pub use clock::ShiftedClock;
pub use daemon::{Daemon, DaemonSpec};
pub use http::{HttpAnswer, get};
pub use port::free_port;
pub use postgres::{Frozen, PgBinaries, PgCluster, PgError, PgOptions, StopMode};
pub use proxy::Proxy;
