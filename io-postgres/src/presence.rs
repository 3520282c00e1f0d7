//! The daemon of this process, as the database knows it.
//!
//! A session of the daemon holds a lock as long as the process lives. If the process is killed, its
//! successor finds the lock free and ends the claims of the process at once. Otherwise their rows
//! would wait for the end of their leases. The session is the one that listens to notifications.

use crate::pool::Pool;
use crate::{PgError, PgStore, sql};
use sqlx::postgres::PgListener;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Each session of the pool has this setting. It is the default of the column `claims.daemon`.
const SETTING: &str = "tidegate.daemon";

/// The name of the daemon, its number in the database, and its session.
#[derive(Debug, Default)]
pub(crate) struct Presence(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// `None` in a process that is no daemon.
    name: Option<String>,
    /// `None` before the first registration.
    number: Option<i32>,
    /// The session of the first registration, until it begins to listen.
    session: Option<PgListener>,
}

impl Presence {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session of the first registration, if nothing listens yet.
    pub(crate) fn take_session(&self) -> Option<PgListener> {
        self.state().session.take()
    }

    /// Registers the daemon on a new session. Later connections of the pool make claims for it.
    pub(crate) async fn register(&self, session: &mut PgListener, pool: &Pool) -> Result<(), sqlx::Error> {
        let (name, before) = {
            let state = self.state();
            let Some(name) = state.name.clone() else { return Ok(()) };
            (name, state.number)
        };
        let number: i32 = sqlx::query_scalar(sql::enter).bind(name).bind(before).fetch_one(session).await?;
        if before != Some(number) {
            self.state().number = Some(number);
            pool.set_option(SETTING, &number.to_string());
        }
        Ok(())
    }
}

impl PgStore {
    /// Registers this process as the daemon `name`. The claims of a daemon of this name that has
    /// died end. Call it before the first claim, and [`Self::listen`] after it.
    pub async fn enter(&self, name: &str) -> Result<(), PgError> {
        self.presence.state().name = Some(name.to_owned());
        let session = self.register().await?;
        self.presence.state().session = Some(session);
        Ok(())
    }
}
