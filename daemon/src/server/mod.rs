//! The running daemon: a store, a dispatcher on it, and the HTTP API in front.

mod config;
mod dispatcher;
mod error;
mod executor;
mod http_server;
mod line_budget;
mod lines;
mod log;
mod observer;
mod open_files;
mod run;
mod store;
mod store_url;

pub use crate::http::{AdminToken, ConnectionLimits, HttpLimits};
pub use crate::services::Retention;
pub use config::ServerConfig;
pub use error::ServeError;
pub use log::{LogStyle, init_logs};
pub use run::serve;
pub use store_url::{InvalidStoreUrl, StoreUrl};
