//! Notifies other daemons that lanes got rows, so that they claim without waiting for a discovery.
//!
//! A notification is not part of the transaction that writes the rows. A transaction that notifies
//! holds a lock of the whole cluster while its commit is written to the disk, so Postgres cannot
//! group commits. If a daemon dies between its commit and its notification, the other daemons find
//! the rows at their next poll.

use crate::pool::Pool;
use crate::{error, sql};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tidegate_core::{StoreError, TriggerId};
use uuid::Uuid;

/// Sends one notification at a time. Lanes that get rows in the pause after a notification are
/// merged into the next one.
#[derive(Debug)]
pub(crate) struct Notifier {
    pool: Pool,
    /// The id of this process. The process ignores notifications with its own id.
    sender_id: String,
    pending: Mutex<Pending>,
}

#[derive(Debug, Default)]
struct Pending {
    lanes: BTreeSet<TriggerId>,
    is_sending: bool,
}

/// The pause after each notification.
const MERGE_PAUSE: Duration = Duration::from_millis(5);
/// The most lanes in one payload. Postgres refuses payloads of 8,000 bytes or more, and for more
/// lanes a discovery is as fast. A payload for more lanes names none of them.
const LANES_MAX: usize = 64;

impl Notifier {
    pub(crate) fn new(pool: Pool) -> Self {
        Self { pool, sender_id: Uuid::now_v7().to_string(), pending: Mutex::default() }
    }

    /// Parses a payload into its lanes, or returns `None` for a notification of this process. The
    /// notification of `tidegate.emit` names no lanes.
    pub(crate) fn parse(&self, payload: &str) -> Option<Vec<TriggerId>> {
        let (sender, lanes) = payload.split_once(' ').unwrap_or((payload, ""));
        let lanes = lanes.split(',').map_while(|id| id.parse().ok().map(TriggerId));
        (sender != self.sender_id).then(|| lanes.collect())
    }

    /// Notifies the other daemons that `lanes` got rows. Returns at once; a task sends the
    /// notification.
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
                tracing::debug!(
                    "other daemons were not notified; they find the rows at their next poll: {}",
                    error.report()
                );
            }
            tokio::time::sleep(MERGE_PAUSE).await;
        }
    }

    /// Takes the pending lanes as a payload. Without pending lanes the sending task ends.
    fn next_payload(&self) -> Option<String> {
        let mut pending = self.lock();
        let lanes = std::mem::take(&mut pending.lanes);
        pending.is_sending = !lanes.is_empty();
        pending.is_sending.then(|| payload(&self.sender_id, &lanes))
    }

    async fn send_once(&self, payload: &str) -> Result<(), StoreError> {
        let sending = async {
            let mut connection = self.pool.acquire().await.map_err(error::unreachable)?;
            let result = sqlx::query(sql::notify).bind(payload).execute(&mut *connection).await;
            connection.finish(result).map(drop).map_err(error::store)
        };
        // A sent notification does not show that writes succeed.
        self.pool.read(sending).await
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        // No code panics between two changes that belong together.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn payload(sender_id: &str, lanes: &BTreeSet<TriggerId>) -> String {
    if lanes.len() > LANES_MAX {
        return sender_id.to_owned();
    }
    let ids: Vec<String> = lanes.iter().map(|TriggerId(id)| id.to_string()).collect();
    format!("{sender_id} {}", ids.join(","))
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
    async fn other_daemons_read_a_payload_and_its_sender_ignores_it() {
        let (one, other) = (notifier(), notifier());
        let sent = payload(&one.sender_id, &lanes([7, i64::MAX]));
        assert_eq!(other.parse(&sent), Some(vec![TriggerId(7), TriggerId(i64::MAX)]));
        assert_eq!(one.parse(&sent), None);
    }

    #[tokio::test]
    async fn a_payload_holds_the_most_lanes_and_names_none_for_more() {
        let (one, other) = (notifier(), notifier());
        let most = i64::MAX - LANES_MAX as i64 + 1..=i64::MAX;
        let sent = payload(&one.sender_id, &lanes(most.clone()));
        assert!(sent.len() < 8_000 && other.parse(&sent).is_some_and(|named| named.len() == LANES_MAX));
        let sent = payload(&one.sender_id, &lanes(most.chain([0])));
        assert_eq!((other.parse(&sent), one.parse(&sent)), (Some(vec![]), None));
    }

    #[tokio::test]
    async fn an_unreadable_payload_names_no_lanes() {
        for payload in ["", " ", "x", "x ", "x y", "1,2", "x 99999999999999999999"] {
            assert_eq!(notifier().parse(payload), Some(vec![]), "{payload:?}");
        }
    }
}
