//! The parts of a scenario: a server, a folder, a dispatcher with its store, and handlers.

mod app;
mod cluster;
mod daemon;
mod folder;
mod handlers;
mod latency_probe;
mod node;
mod store;
mod tally;

pub use app::App;
pub use cluster::{Cluster, Database};
pub use folder::Folder;
pub use handlers::Noop;
pub use node::Node;
pub use store::Store;
pub use tally::Tally;

pub(crate) use app::SMALL;
pub(crate) use cluster::SETTINGS;
pub(crate) use daemon::Process;
pub(crate) use latency_probe::LatencyProbe;
