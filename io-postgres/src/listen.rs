//! Notifications of other processes: one for each transaction that emitted, or for several.

use crate::notify::Told;
use crate::{PgStore, sql};
use sqlx::postgres::{PgListener, PgPoolOptions};
use std::time::Duration;
use tidegate_driver::WakeHandle;
use tokio::time::timeout;

const CHANNEL: &str = "tidegate_outbox";
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// After such a silence the server is asked whether it is still there, and has so long to answer: a peer that vanished
/// without a word closes no connection.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const ANSWER_MAX: Duration = Duration::from_secs(10);

impl PgStore {
    /// Wakes the dispatcher at each notification of another process, for ever. It registers before it wakes, and wakes
    /// after each registration, so that nothing falls between. A lost connection costs latency: the poll finds what was
    /// missed. It is logged once when it is lost, and once when it is back.
    pub async fn listen(&self, wake: WakeHandle) {
        let (mut pause, mut is_lost) = (RETRY_MIN, false);
        loop {
            let why = match self.register().await {
                Ok(listener) => {
                    if is_lost {
                        tracing::info!("listening to Postgres again");
                    }
                    (pause, is_lost) = (RETRY_MIN, false);
                    wake.wake_somewhere();
                    let why = self.forward(listener, &wake).await;
                    self.pool.doubt();
                    why
                }
                Err(error) => error.to_string(),
            };
            if !is_lost {
                tracing::info!("not listening to Postgres, polling until it is back: {why}");
                is_lost = true;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    async fn register(&self) -> Result<PgListener, sqlx::Error> {
        // A pool of its own: the listening connection must not take one from the others.
        let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(ANSWER_MAX);
        let mut listener = PgListener::connect_with(&pool.connect_with(self.connect.clone()).await?).await?;
        listener.ignore_pool_close_event(true);
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok(listener)
    }

    /// Passes notifications on until the connection is lost, and says why it was.
    async fn forward(&self, mut listener: PgListener, wake: &WakeHandle) -> String {
        loop {
            match timeout(SILENCE_MAX, listener.try_recv()).await {
                Ok(Ok(Some(notification))) => match self.notifier.told(notification.payload()) {
                    Some(Told::Lanes(lanes)) => wake.wake(lanes),
                    Some(Told::Somewhere) => wake.wake_somewhere(),
                    None => {}
                },
                Ok(Ok(None)) => return "the server closed the connection".to_owned(),
                Ok(Err(error)) => return error.to_string(),
                Err(_) => match timeout(ANSWER_MAX, sqlx::query(sql::ping).execute(&mut listener)).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => return error.to_string(),
                    Err(_) => return "the server does not answer".to_owned(),
                },
            }
        }
    }
}
