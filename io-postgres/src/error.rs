//! What a Postgres failure means to the caller, and above all whether the call may have been applied all the same.

use tidegate_core::{StoreError, StoreErrorKind};
use tidegate_ports::PortError;

/// No connection could be had: nothing was sent, so nothing was done.
pub(crate) fn unreachable(error: sqlx::Error) -> StoreError {
    StoreError::not_applied(
        StoreErrorKind::Unavailable,
        format!("Postgres cannot be reached, nothing was done: {error}"),
    )
}

/// A call over a connection that was there failed.
pub(crate) fn store(error: sqlx::Error) -> StoreError {
    use sqlx::Error;
    let unavailable =
        |what: &str| StoreError::not_applied(StoreErrorKind::Unavailable, format!("{what}, nothing was done: {error}"));
    match &error {
        // The statement never left.
        Error::PoolTimedOut | Error::PoolClosed => unavailable("no connection to Postgres could be had"),
        Error::Io(io) if is_refusal(io.kind()) => unavailable("Postgres cannot be reached"),
        Error::Configuration(_) | Error::Tls(_) => unavailable("Postgres cannot be connected to"),
        Error::Database(database) => database_error(database.code().as_deref(), &error),
        Error::ColumnDecode { .. } | Error::Decode(_) | Error::ColumnNotFound(_) | Error::RowNotFound => StoreError {
            kind: StoreErrorKind::Refused,
            ..StoreError::unknown(format!("Postgres answered what this version does not understand: {error}"))
        },
        _ => StoreError::unknown(format!("the connection to Postgres broke: {error}")),
    }
}

pub(crate) fn port(error: sqlx::Error) -> PortError {
    PortError::Store(store(error))
}

/// Errors of connecting, before anything could be sent.
fn is_refusal(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind as K;
    matches!(kind, K::ConnectionRefused | K::NotFound | K::AddrNotAvailable | K::PermissionDenied)
}

/// Whether no call over the connection can follow.
pub(crate) fn ends_connection(error: &sqlx::Error) -> bool {
    use sqlx::Error;
    match error {
        Error::Database(database) => database.code().is_some_and(|code| says_connection_ends(&code)),
        Error::Io(_) | Error::Tls(_) | Error::Protocol(_) => true,
        _ => false,
    }
}

fn says_connection_ends(code: &str) -> bool {
    code.starts_with("57P") || code.starts_with("08")
}

/// An error that the server reports has undone the transaction, unless it ends the connection too: then it may have
/// come after the commit.
fn database_error(code: Option<&str>, error: &sqlx::Error) -> StoreError {
    let code = code.unwrap_or_default();
    let not_applied = |kind| StoreError::not_applied(kind, format!("Postgres refused it, nothing was done: {error}"));
    match code {
        "40001" | "40P01" | "55P03" => not_applied(StoreErrorKind::Contention),
        // Starting up, recovering, out of connections: the connection was never made.
        "57P03" | "53300" | "3D000" | "28000" | "28P01" => not_applied(StoreErrorKind::Unavailable),
        _ if says_connection_ends(code) => StoreError::unknown(format!("Postgres ended the connection: {error}")),
        _ if code.starts_with("53") || code.starts_with("58") => not_applied(StoreErrorKind::Unavailable),
        _ => not_applied(StoreErrorKind::Refused),
    }
}

/// Maps a statement's failure.
pub(crate) trait OrFailed<T> {
    fn or_failed(self) -> Result<T, PortError>;
}

impl<T> OrFailed<T> for Result<T, sqlx::Error> {
    fn or_failed(self) -> Result<T, PortError> {
        self.map_err(port)
    }
}
