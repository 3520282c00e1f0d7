//! The health of the store. The store is pinged at most once a second, also if `/readyz` is called
//! more often.

use async_trait::async_trait;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::{StoreError, StoreErrorKind};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// A store that can be pinged.
#[async_trait]
pub trait Health: Send + Sync + 'static {
    /// Makes a round trip to the store.
    async fn ping(&self) -> Result<(), StoreError>;
}

/// The longest time for which an answer is reused.
const ANSWER_AGE_MAX: Duration = Duration::from_secs(1);
/// A store that does not answer within this time counts as down. A pool of connections waits far
/// longer.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// Caches the last answer of a store.
pub(super) struct CachedHealth {
    store: Arc<dyn Health>,
    /// Locked during a ping, so that concurrent callers wait for the same answer.
    last: Mutex<Option<(Instant, Result<(), StoreError>)>>,
}

impl CachedHealth {
    pub(super) fn new(store: Arc<dyn Health>) -> Self {
        Self { store, last: Mutex::new(None) }
    }
}

impl fmt::Debug for CachedHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedHealth").finish_non_exhaustive()
    }
}

#[async_trait]
impl Health for CachedHealth {
    async fn ping(&self) -> Result<(), StoreError> {
        let mut last = self.last.lock().await;
        match &*last {
            Some((at, answer)) if at.elapsed() < ANSWER_AGE_MAX => answer.clone(),
            _ => {
                let timed_out = || {
                    let message = format!("no answer within {} s", PING_TIMEOUT.as_secs());
                    Err(StoreError::not_applied(StoreErrorKind::Unavailable, message))
                };
                let answer =
                    tokio::time::timeout(PING_TIMEOUT, self.store.ping()).await.unwrap_or_else(|_| timed_out());
                report(last.as_ref().map(|(_, answer)| answer), &answer);
                *last = Some((Instant::now(), answer.clone()));
                answer
            }
        }
    }
}

/// Logs the reason when the store becomes unhealthy. Callers of `/readyz` get no words of the
/// database.
fn report(before: Option<&Result<(), StoreError>>, now: &Result<(), StoreError>) {
    match (before, now) {
        (None | Some(Ok(())), Err(error)) => tracing::info!("not ready: the store: {}", error.report()),
        (Some(Err(_)), Ok(())) => tracing::info!("ready: the store answers again"),
        _ => {}
    }
}
