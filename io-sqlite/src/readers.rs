//! Readers: connections that only read. They see the last commit and never wait for the writer.
//!
//! A read may wait for the disk, so it runs on a thread that may block. Concurrent reads use
//! different connections.

use crate::blocking::blocking;
use crate::error::closed;
use rusqlite::Connection;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tidegate_ports::PortError;
use tokio::sync::Semaphore;

pub(crate) struct Readers {
    /// One permit per connection, so that the holder of a permit finds an idle connection.
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
    count: u32,
}

/// A connection in use. Dropping this value makes the connection idle again, even after a panic.
struct BusyConnection {
    connection: Option<Connection>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(crate) fn new(connections: Vec<Connection>) -> Self {
        let count = u32::try_from(connections.len()).unwrap_or(u32::MAX);
        Self { permits: Arc::new(Semaphore::new(connections.len())), idle: Arc::new(Mutex::new(connections)), count }
    }

    /// Waits for an idle connection, and runs `work` with it.
    pub(crate) async fn read<T, W>(&self, work: W) -> Result<T, PortError>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Result<T, PortError> + Send + 'static,
    {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| closed())?;
        let idle = Arc::clone(&self.idle);
        blocking(move || {
            // The work owns the permit and the connection, because its caller may be dropped before
            // the work ends. The permit is dropped last, after the connection is idle again.
            let _permit = permit;
            let connection = lock(&idle).pop();
            let busy = BusyConnection { connection, idle };
            busy.connection.as_ref().map_or_else(|| Err(closed()), work)
        })
        .await
    }

    /// Waits until all connections are idle, and closes them. Later reads fail.
    pub(crate) async fn close(&self) {
        if let Ok(all) = self.permits.acquire_many(self.count).await {
            self.permits.close();
            all.forget();
        }
        lock(&self.idle).clear();
    }
}

impl Drop for BusyConnection {
    fn drop(&mut self) {
        lock(&self.idle).extend(self.connection.take());
    }
}

/// A poisoned lock is harmless: every holder only pushes or pops a connection.
fn lock(idle: &Mutex<Vec<Connection>>) -> MutexGuard<'_, Vec<Connection>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}
