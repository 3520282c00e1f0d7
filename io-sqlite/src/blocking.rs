//! Runs work that may wait for the disk from an async task.

use std::panic::resume_unwind;
use tokio::task::spawn_blocking;

/// Runs `work` on a thread that may block. A panic of `work` becomes a panic of the caller.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime shuts down and drops the caller.
            Err(_) => std::future::pending().await,
        },
    }
}
