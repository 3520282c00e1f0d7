//! Converts errors of SQLite into errors of the ports.

use rusqlite::Error;
use tidegate_core::{StoreError, StoreErrorKind};
use tidegate_ports::PortError;

/// The error for a statement that failed. Its transaction is rolled back.
pub(crate) fn refused(error: &Error) -> StoreError {
    let kind = match error {
        Error::SqliteFailure(error, _) if is_lasting(error.extended_code) => StoreErrorKind::Refused,
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::InvalidColumnIndex(_)
        | Error::InvalidColumnName(_)
        | Error::InvalidColumnType(..)
        | Error::Utf8Error(..) => StoreErrorKind::Refused,
        _ => StoreErrorKind::Unavailable,
    };
    StoreError::not_applied(kind, format!("SQLite refused the statement; nothing was changed: {error}"))
}

pub(crate) fn port(error: Error) -> PortError {
    PortError::Store(refused(&error))
}

/// The error for a commit that failed. A failed sync leaves a whole transaction in the log, which a
/// crash may bring back. After any other failure the log has no end of the transaction.
pub(crate) fn uncommitted(error: &Error) -> StoreError {
    const SYNC_FAILED: i32 = 10 | (4 << 8);
    match error {
        Error::SqliteFailure(error, _) if error.extended_code != SYNC_FAILED => StoreError::not_applied(
            StoreErrorKind::Unavailable,
            format!("SQLite could not commit; nothing was changed: {error}"),
        ),
        _ => StoreError::unknown(format!("SQLite could not commit; the writes may have been applied: {error}")),
    }
}

/// The error for a call of a closed store.
pub(crate) fn closed() -> PortError {
    PortError::Store(StoreError::not_applied(StoreErrorKind::Unavailable, "the store is closed; nothing was changed"))
}

/// Converts the error of a statement with [`refused`].
pub(crate) trait OrRefused<T> {
    fn or_refused(self) -> Result<T, PortError>;
}

impl<T> OrRefused<T> for Result<T, Error> {
    fn or_refused(self) -> Result<T, PortError> {
        self.map_err(port)
    }
}

/// Whether the statement would fail again: SQL errors (1), values that are too long (18),
/// constraints (19), type mismatches (20) and parameters out of range (25). After errors such as
/// busy, full and I/O, a later call may succeed.
fn is_lasting(code: i32) -> bool {
    matches!(code & 0xff, 1 | 18 | 19 | 20 | 25)
}
