//! Notifications of other processes: one for each transaction that emitted, or for several.

use crate::{PgStore, sql};
use sqlx::postgres::{PgListener, PgPoolOptions};
use std::collections::BTreeSet;
use std::time::Duration;
use tidegate_core::TriggerId;
use tidegate_ports::WakeHandle;
use tokio::time::{Instant, sleep_until, timeout};

const CHANNEL: &str = "tidegate_outbox";
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// After such a silence the server is asked whether it is still there, and has so long to answer: a peer that vanished
/// without a word closes no connection.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Long against a claim, short against what anybody notices.
const REST: Duration = Duration::from_millis(5);

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
                    wake.wake_for_discovery();
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

    /// Passes notifications on until the connection is lost, and says why it was. After each it rests a little: what comes
    /// meanwhile, from however many daemons, is passed on together.
    async fn forward(&self, mut listener: PgListener, wake: &WakeHandle) -> String {
        let (mut told, mut rests_until) = (None::<BTreeSet<_>>, Instant::now());
        loop {
            let heard = tokio::select! {
                biased;
                () = sleep_until(rests_until), if told.is_some() => {
                    pass_on(told.take().unwrap_or_default(), wake);
                    rests_until = Instant::now() + REST;
                    continue;
                }
                heard = timeout(SILENCE_MAX, listener.try_recv()) => heard,
            };
            match heard {
                Ok(Ok(Some(notification))) => {
                    if let Some(lanes) = self.notifier.told(notification.payload()) {
                        told.get_or_insert_default().extend(lanes);
                    }
                }
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

/// Lanes that are named are claimed of at once. A discovery goes beside that, at its own pace: it finds a row that was told of
/// late and lies below its lane's floor, and it knows which lanes have a limit.
fn pass_on(lanes: BTreeSet<TriggerId>, wake: &WakeHandle) {
    wake.wake(lanes);
    wake.wake_for_discovery();
}
