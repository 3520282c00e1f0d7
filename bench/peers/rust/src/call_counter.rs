//! Counts handler calls and wakes a task that waits for a number of them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::sync::Notify;

/// A counter. Every handler calls it once for each job and does nothing else.
#[derive(Debug)]
pub struct CallCounter {
    count: AtomicU64,
    target: AtomicU64,
    reached_at: Mutex<Option<Instant>>,
    reached: Notify,
}

impl CallCounter {
    pub fn new() -> Self {
        Self {
            count: AtomicU64::new(0),
            target: AtomicU64::new(u64::MAX),
            reached_at: Mutex::new(None),
            reached: Notify::new(),
        }
    }

    pub fn call(&self) {
        let count = self.count.fetch_add(1, Ordering::AcqRel) + 1;
        if count == self.target.load(Ordering::Acquire) {
            *self.reached_at.lock().expect("no code panics while it holds the lock") = Some(Instant::now());
            self.reached.notify_one();
        }
    }

    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Sets the number that [`Self::wait_for_target`] waits for. Call it before the last of these
    /// jobs can start.
    pub fn set_target(&self, target: u64) {
        self.target.store(target, Ordering::Release);
    }

    /// Waits until the target is reached. Returns the time of the last call.
    pub async fn wait_for_target(&self) -> Instant {
        self.reached.notified().await;
        self.reached_at
            .lock()
            .expect("no code panics while it holds the lock")
            .expect("`call` sets it before the wake-up")
    }
}
