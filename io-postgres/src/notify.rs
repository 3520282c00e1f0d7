//! Telling other daemons that rows have come.
//!
//! It is not part of the transaction that made the rows: one that notifies holds a lock of the whole cluster while its
//! commit is written to the disk, and then commits are no longer written in groups. A daemon that dies between its commit
//! and its notification costs the others latency: their poll finds the rows.

use crate::pool::Pool;
use crate::sql;
use sqlx::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use uuid::Uuid;

/// Sends one notification at a time, and after each rests a little: what comes meanwhile goes with the next one.
#[derive(Debug)]
pub(crate) struct Notifier {
    pool: Pool,
    /// The payload, by which the sender knows its own notifications.
    sender: String,
    state: AtomicU8,
}

/// Long against a notification, short against what anybody notices.
const REST: Duration = Duration::from_millis(5);

const IDLE: u8 = 0;
const SENDING: u8 = 1;
const AGAIN: u8 = 2;

impl Notifier {
    pub(crate) fn new(pool: Pool) -> Self {
        Self { pool, sender: Uuid::now_v7().to_string(), state: AtomicU8::new(IDLE) }
    }

    /// Whether a notification with this payload is this process's own.
    pub(crate) fn is_own(&self, payload: &str) -> bool {
        payload == self.sender
    }

    /// Returns at once.
    pub(crate) fn notify(self: &Arc<Self>) {
        let next = |state| Some(if state == IDLE { SENDING } else { AGAIN });
        if self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, next) == Ok(IDLE) {
            tokio::spawn(Arc::clone(self).send());
        }
    }

    async fn send(self: Arc<Self>) {
        loop {
            if let Err(error) = self.send_once().await {
                tracing::debug!("other daemons were not notified, they will poll: {error}");
            }
            tokio::time::sleep(REST).await;
            if self.state.compare_exchange(SENDING, IDLE, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return;
            }
            self.state.store(SENDING, Ordering::Release);
        }
    }

    async fn send_once(&self) -> Result<(), Error> {
        let mut connection = self.pool.acquire().await?;
        let result = sqlx::query(sql::notify).bind(&self.sender).execute(&mut *connection).await;
        connection.finish(result).map(drop)
    }
}
