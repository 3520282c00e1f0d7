use std::io;
use std::net::SocketAddr;

/// The reason why a daemon ended with an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    #[error("cannot listen on {address}: {source}; choose another address with --listen ADDRESS:PORT")]
    Listen { address: SocketAddr, source: io::Error },
    /// Waiting does not help: the store's URL, file or schema is wrong.
    #[error("the store cannot be opened: {0}")]
    Store(String),
    /// The dispatcher ended without a shutdown command.
    #[error("the dispatcher ended unexpectedly: {0}")]
    Dispatcher(String),
}
