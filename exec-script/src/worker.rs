//! A worker: one thread of the pool, and the mailbox through which it gets its tasks.

use crate::job::Job;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Thread;

/// The task of a worker.
pub(crate) enum Task {
    Run(Job),
    /// To watch the queue, see [`crate::schedule`].
    Watch,
}

pub(crate) struct Worker {
    thread: Thread,
    mailbox: Mutex<Option<Task>>,
    /// The bits of the keys of its warm isolates.
    warm_bits: AtomicU64,
}

impl Worker {
    /// The worker of the calling thread.
    pub(crate) fn current() -> Self {
        Self { thread: std::thread::current(), mailbox: Mutex::default(), warm_bits: AtomicU64::new(0) }
    }

    /// Whether the worker probably has a warm isolate for a key with this bit.
    pub(crate) fn has_warm(&self, bit: u64) -> bool {
        self.warm_bits.load(Ordering::Relaxed) & bit != 0
    }

    pub(crate) fn set_warm_bits(&self, bits: u64) {
        self.warm_bits.store(bits, Ordering::Relaxed);
    }

    /// Gives a task to the worker and wakes it. The worker must have been idle, and the caller must
    /// have removed it from the list of idle workers.
    pub(crate) fn assign(&self, task: Task) {
        *self.lock() = Some(task);
        self.thread.unpark();
    }

    pub(crate) fn take_task(&self) -> Option<Task> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Task>> {
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
