//! Whether the store answers, asked at most once a second however often readiness is asked.

use async_trait::async_trait;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::{StoreError, StoreErrorKind};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Whether the store answers.
#[async_trait]
pub trait Health: Send + Sync + 'static {
    /// Asks it.
    async fn ping(&self) -> Result<(), StoreError>;
}

/// How long an answer is good for.
const FRESH: Duration = Duration::from_secs(1);
/// How long a store may take to answer before it counts as one that does not. A pool of connections waits far longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// The last answer of a store, and the store for when it is old.
pub(super) struct CachedHealth {
    store: Arc<dyn Health>,
    /// Held while the store is asked, so that others wait for the same answer.
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
            Some((at, answer)) if at.elapsed() < FRESH => answer.clone(),
            _ => {
                let silent = || {
                    let message = format!("no answer within {} s", PATIENCE.as_secs());
                    Err(StoreError::not_applied(StoreErrorKind::Unavailable, message))
                };
                let answer = tokio::time::timeout(PATIENCE, self.store.ping()).await.unwrap_or_else(|_| silent());
                *last = Some((Instant::now(), answer.clone()));
                answer
            }
        }
    }
}
