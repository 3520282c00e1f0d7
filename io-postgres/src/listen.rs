//! Listens to the notifications of other processes, and wakes the dispatcher.

use crate::session::Session;
use crate::{PgStore, error, sql};
use sqlx::postgres::{PgListener, PgPoolOptions};
use std::collections::BTreeSet;
use std::time::Duration;
use tidegate_core::TriggerId;
use tidegate_ports::WakeHandle;
use tokio::time::{Instant, sleep_until, timeout};

const CHANNEL: &str = "tidegate_outbox";
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// After this time without a notification the server is pinged, because a connection stays open
/// even if its peer no longer exists. The ping also keeps firewalls from forgetting the connection.
const SILENCE_MAX: Duration = Duration::from_secs(2);
/// The most time for connecting, and for the answer to a ping.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// The most time for the registration of a session.
const REGISTER_MAX: Duration = Duration::from_secs(5);
/// The pause after each wake-up. Notifications that arrive in the pause are merged into the next
/// wake-up.
const MERGE_PAUSE: Duration = Duration::from_millis(5);

impl PgStore {
    /// Wakes the dispatcher at each notification of another process. Never returns.
    ///
    /// After each registration the dispatcher is woken for a discovery, which finds rows from
    /// before the registration. A lost connection costs latency only: the next poll finds the rows.
    /// The loss and the new registration are each logged once.
    pub async fn listen(&self, wake: WakeHandle) {
        let (mut pause, mut is_lost) = (RETRY_MIN, false);
        loop {
            let session = match self.presence.take_session() {
                Some(session) => Ok(session),
                None => self.register().await,
            };
            let reason = match session {
                Ok(listener) => {
                    if is_lost {
                        tracing::info!("listening to Postgres again");
                    }
                    (pause, is_lost) = (RETRY_MIN, false);
                    wake.wake_for_discovery();
                    let reason = self.forward(listener, &wake).await;
                    self.pool.drop_idle();
                    reason
                }
                Err(error) => error::text(&error),
            };
            if !is_lost {
                tracing::info!(
                    "not listening to Postgres; the dispatcher polls until the connection is restored: {reason}"
                );
                is_lost = true;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    pub(crate) async fn register(&self) -> Result<PgListener, sqlx::Error> {
        timeout(REGISTER_MAX, self.register_session()).await.unwrap_or_else(|_| {
            let reason = format!("no answer within {REGISTER_MAX:?}");
            Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, reason)))
        })
    }

    async fn register_session(&self) -> Result<PgListener, sqlx::Error> {
        // The listener has a pool of its own, so that it does not use up a connection of the
        // store's pool.
        let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(ANSWER_MAX);
        let session = Session::of_calls(REGISTER_MAX);
        let pool = pool.after_connect(move |connection, _| {
            let session = session.clone();
            Box::pin(async move { session.prepare(connection).await })
        });
        let mut listener = PgListener::connect_with(&pool.connect_with(self.connect.clone()).await?).await?;
        listener.ignore_pool_close_event(true);
        listener.eager_reconnect(false);
        self.presence.register(&mut listener, &self.pool).await?;
        listener.listen(CHANNEL).await?;
        Ok(listener)
    }

    /// Forwards notifications until the connection is lost, and returns the reason. Notifications
    /// of the same [`MERGE_PAUSE`] are forwarded together.
    async fn forward(&self, mut listener: PgListener, wake: &WakeHandle) -> String {
        let (mut pending, mut pause_end) = (None::<BTreeSet<_>>, Instant::now());
        loop {
            let received = tokio::select! {
                biased;
                () = sleep_until(pause_end), if pending.is_some() => {
                    wake_for(pending.take().unwrap_or_default(), wake);
                    pause_end = Instant::now() + MERGE_PAUSE;
                    continue;
                }
                received = timeout(SILENCE_MAX, listener.try_recv()) => received,
            };
            match received {
                Ok(Ok(Some(notification))) => {
                    if let Some(lanes) = self.notifier.parse(notification.payload()) {
                        pending.get_or_insert_default().extend(lanes);
                    }
                }
                Ok(Ok(None)) => return "the server closed the connection".to_owned(),
                Ok(Err(error)) => return error::text(&error),
                Err(_) => match timeout(ANSWER_MAX, sqlx::query(sql::ping).execute(&mut listener)).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => return error::text(&error),
                    Err(_) => return "the server does not answer".to_owned(),
                },
            }
        }
    }
}

/// Wakes the dispatcher for `lanes` and for a discovery. It claims from `lanes` at once. The
/// discovery finds stragglers below the floor of their lane, and reads the limits of the lanes.
fn wake_for(lanes: BTreeSet<TriggerId>, wake: &WakeHandle) {
    wake.wake(lanes);
    wake.wake_for_discovery();
}
