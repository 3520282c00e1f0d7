//! Counts handler calls, and wakes whoever waits for a number of them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::sync::Notify;

/// What every handler calls once per job, and nothing else.
#[derive(Debug)]
pub struct Handled {
    count: AtomicU64,
    target: AtomicU64,
    reached_at: Mutex<Option<Instant>>,
    reached: Notify,
}

impl Handled {
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
            *self.reached_at.lock().expect("nobody panics while holding it") = Some(Instant::now());
            self.reached.notify_one();
        }
    }

    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Sets the number that [`Self::reached`] waits for; to be called before the last of these jobs can start.
    pub fn aim(&self, target: u64) {
        self.target.store(target, Ordering::Release);
    }

    /// When the call came that made it as many as aimed at.
    pub async fn reached(&self) -> Instant {
        self.reached.notified().await;
        self.reached_at.lock().expect("nobody panics while holding it").expect("it was set before the wake-up")
    }
}
