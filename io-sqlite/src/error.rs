//! What an SQLite failure means to the caller.

use rusqlite::Error;
use tidegate_core::{StoreError, StoreErrorKind};
use tidegate_ports::PortError;

/// A statement failed, so its transaction is rolled back.
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
    StoreError::not_applied(kind, format!("SQLite refused it and nothing was changed: {error}"))
}

pub(crate) fn port(error: Error) -> PortError {
    PortError::Store(refused(&error))
}

/// What is asked of a store that was closed.
pub(crate) fn closed() -> PortError {
    PortError::Store(StoreError::not_applied(StoreErrorKind::Unavailable, "the store is closed"))
}

/// Maps a statement's failure.
pub(crate) trait OrRefused<T> {
    fn or_refused(self) -> Result<T, PortError>;
}

impl<T> OrRefused<T> for Result<T, Error> {
    fn or_refused(self) -> Result<T, PortError> {
        self.map_err(port)
    }
}

/// Errors that waiting does not mend: SQL errors and broken constraints. Busy, full, I/O and the like may pass.
fn is_lasting(code: i32) -> bool {
    matches!(code & 0xff, 1 | 19 | 20 | 25)
}
