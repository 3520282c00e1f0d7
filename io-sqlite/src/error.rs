//! What an SQLite failure means to the caller.

use tidegate_core::{StoreError, StoreErrorKind};
use tidegate_driver::PortError;

/// A statement failed, so its transaction is rolled back.
pub(crate) fn refused(error: &sqlx::Error) -> StoreError {
    let kind = match error {
        sqlx::Error::Database(error) if is_lasting(error.code().as_deref()) => StoreErrorKind::Refused,
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_) => {
            StoreErrorKind::Refused
        }
        _ => StoreErrorKind::Unavailable,
    };
    StoreError::not_applied(kind, format!("SQLite refused it and nothing was changed: {error}"))
}

pub(crate) fn port(error: sqlx::Error) -> PortError {
    PortError::Store(refused(&error))
}

/// Errors that waiting does not mend: SQL errors and broken constraints. Busy, full, I/O and the like may pass.
fn is_lasting(code: Option<&str>) -> bool {
    let primary = code.and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff);
    matches!(primary, Some(1 | 19 | 20 | 25))
}
