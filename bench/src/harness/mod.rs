//! What scenarios stand on: a server, files, daemons' insides, handlers.

mod app;
mod clocked;
mod cluster;
mod daemon;
mod folder;
mod handlers;
mod node;
mod store;
mod tally;

pub use app::App;
pub use cluster::Cluster;
pub use folder::Folder;
pub use handlers::Noop;
pub use node::Node;
pub use store::Store;
pub use tally::Tally;

pub(crate) use app::SMALL;
pub(crate) use clocked::Clocked;
pub(crate) use cluster::{Database, SETTINGS};
pub(crate) use daemon::Process;
