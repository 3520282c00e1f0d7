//! Prepares a new session: sets all settings that the statements and functions rely on, and checks
//! that the server fits.
//!
//! The settings are set after connecting. A database or a role may have other defaults, and a
//! proxy may drop the parameters of the start-up packet.

use crate::sql;
use sqlx::postgres::PgConnection;
use sqlx::{Error, Row};
use std::time::Duration;

/// Settings that are the same in all sessions.
const SETTINGS: &[(&str, &str)] = &[
    // All names in statements and functions are qualified. No object of another schema hides a
    // function or an operator of Postgres.
    ("search_path", "pg_catalog, pg_temp"),
    ("standard_conforming_strings", "on"),
    // The functions rely on this level: each statement sees all that was committed before it began.
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_deferrable", "off"),
    ("client_encoding", "UTF8"),
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "postgres"),
    ("bytea_output", "hex"),
    ("extra_float_digits", "1"),
    ("row_security", "on"),
    ("transform_null_equals", "off"),
    ("jit", "off"),
    // Hides notices, such as the notice that an object already exists.
    ("client_min_messages", "warning"),
    ("idle_session_timeout", "0"),
    ("transaction_timeout", "0"),
    // The server probes an idle connection after 10 s, and ends the session of a client that does
    // not answer for 20 s. So the locks of a lost daemon are released, and a firewall does not
    // forget the connection.
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "2"),
    ("tcp_user_timeout", "20000"),
];

/// The oldest version of the server, as `server_version_num`.
const VERSION_MIN: i32 = 140_000;

/// The settings of the sessions of one pool.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    names: Vec<String>,
    values: Vec<String>,
}

/// The server or the proxy before it does not fit. Waiting does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    #[error(
        "the server is Postgres {0}, and Tidegate needs version 14 or later; nothing was changed; upgrade the server"
    )]
    Version(String),
    #[error(
        "the database has the encoding {0}, and Tidegate needs UTF8; nothing was changed; \
         make another one with: create database NAME encoding 'UTF8' template template0"
    )]
    Encoding(String),
    #[error(
        "the session lost its setting {0}: a proxy shares sessions between clients; \
         connect to the server itself, or use session pooling"
    )]
    Shared(String),
}

impl Session {
    /// The settings of a session for calls. The server ends a call that takes longer than
    /// `call_timeout`, because no client waits for it any more. It ends the wait for a lock
    /// earlier, so that the caller learns the reason.
    pub(crate) fn of_calls(call_timeout: Duration) -> Self {
        Self::new(call_timeout.as_millis(), (call_timeout * 3 / 5).as_millis())
    }

    /// The settings of a session for migrations, which may take long.
    pub(crate) fn of_migrations() -> Self {
        Self::new(0, 0)
    }

    /// The limits are in milliseconds, 0 is none.
    fn new(statement: u128, lock: u128) -> Self {
        let mut session = Self { names: Vec::new(), values: Vec::new() };
        for (name, value) in SETTINGS {
            session.set(name, value);
        }
        session.set("statement_timeout", &statement.to_string());
        session.set("lock_timeout", &lock.to_string());
        session.set("idle_in_transaction_session_timeout", &statement.to_string());
        session
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        if let Some(at) = self.names.iter().position(|known| known == name) {
            value.clone_into(&mut self.values[at]);
        } else {
            self.names.push(name.to_owned());
            self.values.push(value.to_owned());
        }
    }

    /// Applies the settings to a new connection, and checks the server. A server that does not fit
    /// is [`Error::Configuration`] with an [`Unfit`].
    pub(crate) async fn prepare(&self, connection: &mut PgConnection) -> Result<(), Error> {
        let set = sqlx::query(sql::session_set).bind(&self.names).bind(&self.values);
        let rows = set.persistent(false).fetch_all(&mut *connection).await?;
        let column = |name| rows.iter().map(|row| row.try_get(name)).collect::<Result<Vec<&str>, _>>();
        let check = sqlx::query(sql::session_check).bind(column("name")?).bind(column("value")?);
        let facts = check.persistent(false).fetch_one(connection).await?;
        let lost = facts.try_get("lost")?;
        check_server(facts.try_get("version")?, facts.try_get("version_name")?, facts.try_get("encoding")?, lost)
            .map_err(|unfit| Error::Configuration(Box::new(unfit)))
    }
}

fn check_server(version: i32, version_name: &str, encoding: &str, lost: Option<&str>) -> Result<(), Unfit> {
    if version < VERSION_MIN {
        return Err(Unfit::Version(version_name.to_owned()));
    }
    if encoding != "UTF8" {
        return Err(Unfit::Encoding(encoding.to_owned()));
    }
    lost.map_or(Ok(()), |name| Err(Unfit::Shared(name.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_server_another_encoding_and_a_lost_setting_are_refused() {
        for (version, encoding, lost, expected) in [
            (140_000, "UTF8", None, Ok(())),
            (130_022, "UTF8", None, Err(Unfit::Version("x".to_owned()))),
            (150_000, "LATIN1", None, Err(Unfit::Encoding("LATIN1".to_owned()))),
            (180_000, "SQL_ASCII", None, Err(Unfit::Encoding("SQL_ASCII".to_owned()))),
            (180_000, "UTF8", Some("TimeZone"), Err(Unfit::Shared("TimeZone".to_owned()))),
        ] {
            assert_eq!(check_server(version, "x", encoding, lost), expected);
        }
    }
}
