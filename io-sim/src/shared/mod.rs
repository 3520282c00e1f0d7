//! A [`Memory`] behind the ports: a lock makes each call one transaction.

mod data;
mod deployment;
mod identity;
mod operations;

use crate::memory::Memory;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tidegate_core::Timestamp;
use tidegate_ports::{EmittedEvent, PortError, WakeHandle};

/// A [`Memory`] that several tasks can use, with a clock that the caller provides.
#[derive(Clone)]
pub struct SharedMemory {
    memory: Arc<Mutex<Memory>>,
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    dispatcher: Arc<OnceLock<WakeHandle>>,
}

impl std::fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedMemory").finish_non_exhaustive()
    }
}

impl SharedMemory {
    /// An empty store that takes the time of each transaction from `clock`.
    pub fn new(clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { memory: Arc::default(), clock: Arc::new(clock), dispatcher: Arc::default() }
    }

    /// An empty store that uses the clock of this machine.
    ///
    /// Two transactions are at least two microseconds apart. So a lease of one microsecond has
    /// expired at the next call, as in a store whose calls take time.
    #[must_use]
    pub fn by_wall_clock() -> Self {
        let last = AtomicI64::new(0);
        Self::new(move || {
            let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64);
            let later = |last: i64| wall.max(last + 2);
            Timestamp(later(last.update(Ordering::Relaxed, Ordering::Relaxed, later)))
        })
    }

    /// Begins a transaction. Dropping the guard commits it.
    pub fn transaction(&self) -> MutexGuard<'_, Memory> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.set_now((self.clock)());
        memory
    }

    /// Runs a transaction that writes outbox rows. If the dispatcher of this process has inline
    /// room, an inline claim takes rows for it. The dispatcher is woken for the lanes of the other
    /// rows.
    fn write_with_inline_claim<T>(
        &self,
        write: impl FnOnce(&mut Memory) -> Result<T, PortError>,
        emitted_by: impl FnOnce(&mut T) -> &mut [EmittedEvent],
    ) -> Result<T, PortError> {
        let inline_claim = self.dispatcher.get().and_then(WakeHandle::try_inline_claim);
        let mut memory = self.transaction();
        let mut result = write(&mut memory)?;
        let emitted = emitted_by(&mut result);
        if let Some(inline_claim) = inline_claim {
            let claimed = memory.claim_inline(emitted, inline_claim.room(), inline_claim.lease_for());
            inline_claim.hand_over(claimed);
        }
        if let Some(dispatcher) = self.dispatcher.get() {
            dispatcher.wake(emitted.iter().flat_map(EmittedEvent::unclaimed_lanes));
        }
        Ok(result)
    }
}
