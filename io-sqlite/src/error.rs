//! Converts errors of SQLite into errors of the ports.

use rusqlite::Error;
use tidegate_core::{StoreError, StoreErrorKind};
use tidegate_ports::PortError;

/// The error for a statement that failed. Its transaction is rolled back.
pub(crate) fn refused(error: &Error) -> StoreError {
    let kind = match error {
        Error::SqliteFailure(error, _) => match error.extended_code & 0xff {
            // SQL errors. The schema does not fit, or a statement is wrong.
            1 => StoreErrorKind::Refused,
            // A text or a row is longer than SQLite allows.
            18 => StoreErrorKind::TooLarge,
            // Constraints, type mismatches, and parameters out of range.
            19 | 20 | 25 => StoreErrorKind::Unstorable,
            // Busy, full, I/O, …: a later call may succeed.
            _ => StoreErrorKind::Unavailable,
        },
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

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    #[test]
    fn an_error_of_the_data_is_told_apart_from_an_error_of_the_call() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("create table t (a text check (a <> 'bad'))").unwrap();
        for (statement, kind) in [
            ("insert into t values ('bad')", StoreErrorKind::Unstorable),
            ("insert into t values (zeroblob(2000000000))", StoreErrorKind::TooLarge),
            ("insert into missing values (1)", StoreErrorKind::Refused),
        ] {
            let error = refused(&connection.execute(statement, ()).unwrap_err());
            assert_eq!((error.kind, error.fate), (kind, tidegate_core::Fate::NotApplied), "{statement}: {error}");
        }
    }
}
