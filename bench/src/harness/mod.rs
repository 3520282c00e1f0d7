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

pub use app::{App, SMALL};
pub use clocked::Clocked;
pub use cluster::{Cluster, Database, SETTINGS};
pub use daemon::{Client, Process};
pub use folder::Folder;
pub use handlers::Noop;
pub use node::Node;
pub use store::Store;
pub use tally::Tally;
