//! Maps Postgres errors to store errors. The important part of an error is its fate: whether the
//! call may have been applied.

use tidegate_core::{StoreError, StoreErrorKind};
use tidegate_ports::PortError;

/// No connection could be opened, so nothing was sent and nothing was applied.
pub(crate) fn unreachable(error: sqlx::Error) -> StoreError {
    StoreError::not_applied(
        StoreErrorKind::Unavailable,
        format!("Postgres cannot be reached; nothing was done: {error}"),
    )
}

/// Maps the error of a call on an open connection.
pub(crate) fn store(error: sqlx::Error) -> StoreError {
    use sqlx::Error;
    let unavailable = |state: &str| {
        StoreError::not_applied(StoreErrorKind::Unavailable, format!("{state}; nothing was done: {error}"))
    };
    match &error {
        // The statement was not sent.
        Error::PoolTimedOut | Error::PoolClosed => unavailable("no connection to Postgres is free"),
        Error::Io(io) if is_refusal(io.kind()) => unavailable("Postgres cannot be reached"),
        Error::Configuration(_) | Error::Tls(_) => unavailable("Postgres cannot be reached with these settings"),
        Error::Database(database) => database_error(database.code().as_deref(), &error),
        Error::ColumnDecode { .. } | Error::Decode(_) | Error::ColumnNotFound(_) | Error::RowNotFound => StoreError {
            kind: StoreErrorKind::Refused,
            ..StoreError::unknown(format!("the answer of Postgres cannot be read by this version of Tidegate: {error}"))
        },
        _ => StoreError::unknown(format!("the connection to Postgres broke; the call may have been applied: {error}")),
    }
}

pub(crate) fn port(error: sqlx::Error) -> PortError {
    PortError::Store(store(error))
}

/// Whether the connection could not be opened, so that nothing was sent.
fn is_refusal(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind as K;
    matches!(kind, K::ConnectionRefused | K::NotFound | K::AddrNotAvailable | K::PermissionDenied)
}

/// Whether the connection is unusable after this error.
pub(crate) fn ends_connection(error: &sqlx::Error) -> bool {
    use sqlx::Error;
    match error {
        Error::Database(database) => database.code().is_some_and(|code| code_ends_connection(&code)),
        Error::Io(_) | Error::Tls(_) | Error::Protocol(_) => true,
        _ => false,
    }
}

fn code_ends_connection(code: &str) -> bool {
    code.starts_with("57P") || code.starts_with("08")
}

/// An error that the server reports has rolled the transaction back. The exception is an error that
/// also ends the connection: it may come after the commit.
fn database_error(code: Option<&str>, error: &sqlx::Error) -> StoreError {
    let code = code.unwrap_or_default();
    let not_applied =
        |kind| StoreError::not_applied(kind, format!("Postgres refused the call; nothing was done: {error}"));
    match code {
        "40001" | "40P01" | "55P03" => not_applied(StoreErrorKind::Contention),
        // The server is starting, recovering or out of connections: the connection was not opened.
        "57P03" | "53300" | "3D000" | "28000" | "28P01" => not_applied(StoreErrorKind::Unavailable),
        _ if code_ends_connection(code) => {
            StoreError::unknown(format!("Postgres ended the connection; the call may have been applied: {error}"))
        }
        _ if code.starts_with("53") || code.starts_with("58") => not_applied(StoreErrorKind::Unavailable),
        _ => not_applied(match code.get(..2).unwrap_or_default() {
            // A limit of Postgres: the size of a value, a row, an array or a JSON document.
            "54" => StoreErrorKind::TooLarge,
            // Data that do not fit, constraints, and errors that a trigger or Postgres itself
            // raises about them.
            "21" | "22" | "23" | "38" | "39" | "44" | "P0" | "XX" => StoreErrorKind::Unstorable,
            _ => StoreErrorKind::Refused,
        }),
    }
}

/// Maps the error of a statement to a [`PortError`].
pub(crate) trait OrFailed<T> {
    fn or_failed(self) -> Result<T, PortError>;
}

impl<T> OrFailed<T> for Result<T, sqlx::Error> {
    fn or_failed(self) -> Result<T, PortError> {
        self.map_err(port)
    }
}
