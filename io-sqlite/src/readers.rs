//! The connections that read. What they read is the last commit; they never wait for the writer.
//!
//! A read may wait for the disk, so it is done on a thread that may block, with one of the connections to itself.

use crate::blocking::blocking;
use crate::error::closed;
use rusqlite::Connection;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tidegate_ports::PortError;
use tokio::sync::Semaphore;

pub(crate) struct Readers {
    /// One permit for each connection: whoever has one finds a connection idle.
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
    count: u32,
}

/// A connection that is in use. It goes back however its use ends.
struct Lent {
    connection: Option<Connection>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(crate) fn new(connections: Vec<Connection>) -> Self {
        let count = u32::try_from(connections.len()).unwrap_or(u32::MAX);
        Self { permits: Arc::new(Semaphore::new(connections.len())), idle: Arc::new(Mutex::new(connections)), count }
    }

    /// Does `work` with one of the connections, when one is idle.
    pub(crate) async fn read<T, W>(&self, work: W) -> Result<T, PortError>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Result<T, PortError> + Send + 'static,
    {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| closed())?;
        let idle = Arc::clone(&self.idle);
        blocking(move || {
            // Both go with the work and not with its caller, who may be gone before it is done. The permit is given up
            // last: then the connection is back.
            let _permit = permit;
            let connection = lock(&idle).pop();
            let lent = Lent { connection, idle };
            lent.connection.as_ref().map_or_else(|| Err(closed()), work)
        })
        .await
    }

    /// Waits until none of them is in use, and closes them. What is asked for later is refused.
    pub(crate) async fn close(&self) {
        if let Ok(all) = self.permits.acquire_many(self.count).await {
            self.permits.close();
            all.forget();
        }
        lock(&self.idle).clear();
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        lock(&self.idle).extend(self.connection.take());
    }
}

/// Nothing that holds the lock can panic half-way.
fn lock(idle: &Mutex<Vec<Connection>>) -> MutexGuard<'_, Vec<Connection>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}
