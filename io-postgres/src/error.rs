//! Maps Postgres errors to store errors. The important part of an error is its fate: whether the
//! call may have been applied.
//!
//! The message of an error uses only words of this file, because API callers see it. The words of
//! Postgres may name roles, tables and values; they are its detail.

use crate::session::Unfit;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use std::time::Duration;
use tidegate_core::{Fate, StoreError, StoreErrorKind};
use tidegate_ports::PortError;

/// No connection could be opened, so nothing was sent and nothing was applied.
pub(crate) fn unreachable(error: sqlx::Error) -> StoreError {
    StoreError { fate: Fate::NotApplied, kind: StoreErrorKind::Unavailable, ..store(error) }
}

/// Maps the error of a call on an open connection.
pub(crate) fn store(error: sqlx::Error) -> StoreError {
    store_ref(&error)
}

pub(crate) fn store_ref(error: &sqlx::Error) -> StoreError {
    use sqlx::Error;
    let unavailable = |message: &str| StoreError::not_applied(StoreErrorKind::Unavailable, message);
    let mapped = match error {
        // The statement was not sent.
        Error::PoolTimedOut => unavailable("no connection to Postgres became free in time"),
        Error::PoolClosed => unavailable("the connections to Postgres are closed"),
        Error::Io(io) if is_refusal(io.kind()) => unavailable("Postgres cannot be reached"),
        Error::Io(io) if io.kind() == std::io::ErrorKind::TimedOut => StoreError::unknown("Postgres does not answer"),
        Error::Configuration(reason) if reason.is::<Unfit>() => unavailable("the database does not fit Tidegate"),
        Error::Configuration(_) | Error::Tls(_) => unavailable("Postgres cannot be reached with these settings"),
        Error::Database(database) => database_error(Report::of(database.as_ref())),
        Error::ColumnDecode { .. } | Error::Decode(_) | Error::ColumnNotFound(_) | Error::RowNotFound => StoreError {
            kind: StoreErrorKind::Refused,
            ..StoreError::unknown("the answer of Postgres cannot be read by this version of Tidegate")
        },
        _ => StoreError::unknown("the connection to Postgres broke"),
    };
    mapped.with_detail(text(error))
}

pub(crate) fn port(error: sqlx::Error) -> PortError {
    PortError::Store(store(error))
}

/// A call that was not answered within `limit`.
pub(crate) fn overdue(fate: Fate, limit: Duration) -> StoreError {
    let unknown = StoreError::unknown("Postgres did not answer in time");
    StoreError { fate, ..unknown }.with_detail(format!("no answer within {limit:?}, see store.call_timeout_ms"))
}

/// The words of Postgres with the SQLSTATE and the hint, for logs and for operators.
///
/// The text of sqlx also has a line number, which is a line of Postgres's own source.
pub(crate) fn text(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            let hint = database.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::hint);
            let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
            format!("{} ({code}){hint}", database.message())
        }
        sqlx::Error::Configuration(reason) => reason.to_string(),
        other => other.to_string(),
    }
}

/// Whether no later try can succeed without an operator: the server does not fit, or refuses the
/// role, the password or the database.
pub(crate) fn is_final(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Configuration(reason) => reason.is::<Unfit>(),
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            code.starts_with("28") || code == "3D000" || code == "42501"
        }
        _ => false,
    }
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
        Error::Database(database) => Report::of(database.as_ref()).ends_session,
        Error::Io(_) | Error::Tls(_) | Error::Protocol(_) => true,
        _ => false,
    }
}

/// The part of an error report of the server that decides.
struct Report<'e> {
    code: &'e str,
    /// The server has ended the session. Otherwise it has rolled the transaction back.
    ends_session: bool,
}

impl<'e> Report<'e> {
    fn of(error: &'e dyn sqlx::error::DatabaseError) -> Self {
        error.try_downcast_ref::<PgDatabaseError>().map_or(Self { code: "", ends_session: true }, |error| Self {
            code: error.code(),
            ends_session: matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic),
        })
    }

    /// An error that the server reports has rolled the transaction back. An error that also ends
    /// the session may come after the commit, except for these: they refuse a new session, or end
    /// a session between two statements.
    fn fate(&self) -> Fate {
        match self.code {
            "40003" | "08007" => Fate::Unknown,
            _ if !self.ends_session => Fate::NotApplied,
            "57P01" | "57P03" | "57P05" | "25P03" | "25P04" | "53300" | "3D000" | "08001" | "08004" | "42501" => {
                Fate::NotApplied
            }
            code if code.starts_with("28") => Fate::NotApplied,
            _ => Fate::Unknown,
        }
    }
}

fn database_error(report: Report<'_>) -> StoreError {
    use StoreErrorKind::{Contention, Refused, TooLarge, Unavailable, Unstorable};
    let class = report.code.get(..2).unwrap_or_default();
    let (kind, message) = match (class, report.code) {
        ("40", _) => (Contention, "the call conflicted with another one"),
        (_, "25006") => (Unavailable, READ_ONLY),
        (_, "55P03" | "55006") => (Unavailable, "another session of the database holds a lock that the call needs"),
        (_, "57014") => (Unavailable, "Postgres cancelled the call"),
        ("57", _) => (Unavailable, "Postgres is starting or stopping"),
        ("08", _) | (_, "25P03" | "25P04") => (Unavailable, "Postgres ended the connection"),
        ("53" | "58", _) => (Unavailable, "Postgres has no free connection, memory or disk space"),
        ("28", _) | (_, "3D000") => (Unavailable, "Postgres refused the login"),
        (_, "42501") => (Refused, "the role of the daemon lacks a right in the database"),
        (_, "3F000" | "42P01" | "42703" | "42883" | "42704") => {
            (Refused, "the schema of the database does not fit this version of Tidegate")
        }
        // A limit of Postgres: the size of a value, a row, an array or a JSON document.
        ("54", _) => (TooLarge, "the call has more data than Postgres can take"),
        // Data that do not fit, constraints, and errors that a trigger or Postgres itself raises
        // about them.
        ("21" | "22" | "23" | "38" | "39" | "44" | "P0" | "XX", _) => {
            (Unstorable, "Postgres cannot store the data of the call")
        }
        _ => (Refused, "Postgres refused the call"),
    };
    StoreError { fate: report.fate(), ..StoreError::not_applied(kind, message) }
}

/// The message about a server in recovery, or a database that allows no writes.
pub(crate) const READ_ONLY: &str = StoreError::READ_ONLY;

/// Maps the error of a statement to a [`PortError`].
pub(crate) trait OrFailed<T> {
    fn or_failed(self) -> Result<T, PortError>;
}

impl<T> OrFailed<T> for Result<T, sqlx::Error> {
    fn or_failed(self) -> Result<T, PortError> {
        self.map_err(port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_server_has_a_kind_and_a_fate() {
        use StoreErrorKind::{Contention, Refused, TooLarge, Unavailable, Unstorable};
        for (code, of_statement, of_session) in [
            ("25006", (Unavailable, Fate::NotApplied), (Unavailable, Fate::Unknown)),
            ("57014", (Unavailable, Fate::NotApplied), (Unavailable, Fate::Unknown)),
            ("57P01", (Unavailable, Fate::NotApplied), (Unavailable, Fate::NotApplied)),
            ("57P02", (Unavailable, Fate::NotApplied), (Unavailable, Fate::Unknown)),
            ("57P03", (Unavailable, Fate::NotApplied), (Unavailable, Fate::NotApplied)),
            ("53100", (Unavailable, Fate::NotApplied), (Unavailable, Fate::Unknown)),
            ("53300", (Unavailable, Fate::NotApplied), (Unavailable, Fate::NotApplied)),
            ("55P03", (Unavailable, Fate::NotApplied), (Unavailable, Fate::Unknown)),
            ("55006", (Unavailable, Fate::NotApplied), (Unavailable, Fate::Unknown)),
            ("40001", (Contention, Fate::NotApplied), (Contention, Fate::Unknown)),
            ("40002", (Contention, Fate::NotApplied), (Contention, Fate::Unknown)),
            ("40003", (Contention, Fate::Unknown), (Contention, Fate::Unknown)),
            ("08006", (Unavailable, Fate::NotApplied), (Unavailable, Fate::Unknown)),
            ("08007", (Unavailable, Fate::Unknown), (Unavailable, Fate::Unknown)),
            ("28P01", (Unavailable, Fate::NotApplied), (Unavailable, Fate::NotApplied)),
            ("42501", (Refused, Fate::NotApplied), (Refused, Fate::NotApplied)),
            ("22P02", (Unstorable, Fate::NotApplied), (Unstorable, Fate::Unknown)),
            ("23514", (Unstorable, Fate::NotApplied), (Unstorable, Fate::Unknown)),
            ("54000", (TooLarge, Fate::NotApplied), (TooLarge, Fate::Unknown)),
            ("42601", (Refused, Fate::NotApplied), (Refused, Fate::Unknown)),
            ("", (Refused, Fate::NotApplied), (Refused, Fate::Unknown)),
        ] {
            for (ends_session, expected) in [(false, of_statement), (true, of_session)] {
                let StoreError { kind, fate, .. } = database_error(Report { code, ends_session });
                assert_eq!((kind, fate), expected, "{code} {ends_session}");
            }
        }
    }
}
