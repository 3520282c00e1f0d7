//! Work that may wait for the disk, from where nothing may wait.

use std::panic::resume_unwind;
use tokio::task::spawn_blocking;

/// Does `work` on a thread that may block. A panic of it is one of the caller.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime is ending, and with it whoever waits here.
            Err(_) => std::future::pending().await,
        },
    }
}
