//! Telling other daemons that rows have come, and into which lanes: they claim without waiting for a discovery.
//!
//! It is not part of the transaction that made the rows: one that notifies holds a lock of the whole cluster while its
//! commit is written to the disk, and then commits are no longer written in groups. A daemon that dies between its commit
//! and its notification costs the others latency: their poll finds the rows.

use crate::pool::Pool;
use crate::sql;
use sqlx::Error;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tidegate_core::TriggerId;
use uuid::Uuid;

/// Sends one notification at a time, and after each rests a little: what comes meanwhile goes with the next one.
#[derive(Debug)]
pub(crate) struct Notifier {
    pool: Pool,
    /// How the sender knows its own notifications.
    sender: String,
    pending: Mutex<Pending>,
}

#[derive(Debug, Default)]
struct Pending {
    lanes: BTreeSet<TriggerId>,
    is_sending: bool,
}

/// Long against a notification, short against what anybody notices.
const REST: Duration = Duration::from_millis(5);
/// More are not named. Postgres refuses a payload of 8,000 bytes, and so many lanes are found as fast by a discovery.
const LANES_MAX: usize = 64;

impl Notifier {
    pub(crate) fn new(pool: Pool) -> Self {
        Self { pool, sender: Uuid::now_v7().to_string(), pending: Mutex::default() }
    }

    /// The lanes that a payload names, unless it is this process's own. Whoever emits with SQL names none.
    pub(crate) fn told(&self, payload: &str) -> Option<Vec<TriggerId>> {
        let (sender, lanes) = payload.split_once(' ').unwrap_or((payload, ""));
        let lanes = lanes.split(',').map_while(|id| id.parse().ok().map(TriggerId));
        (sender != self.sender).then(|| lanes.collect())
    }

    /// Rows have come into `lanes`. Returns at once.
    pub(crate) fn notify(self: &Arc<Self>, lanes: impl IntoIterator<Item = TriggerId>) {
        let mut pending = self.lock();
        pending.lanes.extend(lanes);
        if !pending.is_sending && !pending.lanes.is_empty() {
            pending.is_sending = true;
            tokio::spawn(Arc::clone(self).send());
        }
    }

    async fn send(self: Arc<Self>) {
        while let Some(payload) = self.next_payload() {
            if let Err(error) = self.send_once(&payload).await {
                tracing::debug!("other daemons were not notified, they will poll: {error}");
            }
            tokio::time::sleep(REST).await;
        }
    }

    /// Without one the sending is over.
    fn next_payload(&self) -> Option<String> {
        let mut pending = self.lock();
        let lanes = std::mem::take(&mut pending.lanes);
        pending.is_sending = !lanes.is_empty();
        pending.is_sending.then(|| payload(&self.sender, &lanes))
    }

    async fn send_once(&self, payload: &str) -> Result<(), Error> {
        let mut connection = self.pool.acquire().await?;
        let result = sqlx::query(sql::notify).bind(payload).execute(&mut *connection).await;
        connection.finish(result).map(drop)
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        // A panic while holding this lock leaves nothing half done.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn payload(sender: &str, lanes: &BTreeSet<TriggerId>) -> String {
    if lanes.len() > LANES_MAX {
        return sender.to_owned();
    }
    let ids: Vec<String> = lanes.iter().map(|TriggerId(id)| id.to_string()).collect();
    format!("{sender} {}", ids.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notifier() -> Notifier {
        Notifier::new(Pool::new("postgres://nobody@localhost/none".parse().unwrap(), 1, Duration::ZERO))
    }

    fn lanes(ids: impl IntoIterator<Item = i64>) -> BTreeSet<TriggerId> {
        ids.into_iter().map(TriggerId).collect()
    }

    #[tokio::test]
    async fn others_read_what_was_written_and_nobody_hears_of_himself() {
        let (one, other) = (notifier(), notifier());
        let sent = payload(&one.sender, &lanes([7, i64::MAX]));
        assert_eq!(other.told(&sent), Some(vec![TriggerId(7), TriggerId(i64::MAX)]));
        assert_eq!(one.told(&sent), None);
    }

    #[tokio::test]
    async fn too_many_lanes_are_not_named_and_the_most_that_are_fit() {
        let (one, other) = (notifier(), notifier());
        let most = i64::MAX - LANES_MAX as i64 + 1..=i64::MAX;
        let sent = payload(&one.sender, &lanes(most.clone()));
        assert!(sent.len() < 8_000 && other.told(&sent).is_some_and(|named| named.len() == LANES_MAX));
        let sent = payload(&one.sender, &lanes(most.chain([0])));
        assert_eq!((other.told(&sent), one.told(&sent)), (Some(vec![]), None));
    }

    #[tokio::test]
    async fn what_cannot_be_read_names_nothing() {
        for payload in ["", " ", "x", "x ", "x y", "1,2", "x 99999999999999999999"] {
            assert_eq!(notifier().told(payload), Some(vec![]), "{payload:?}");
        }
    }
}
