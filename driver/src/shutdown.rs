//! The shutdown of the loop: the steps before the dispatcher shuts down.
//!
//! A transaction that is making an inline claim may commit at any moment. If the dispatcher stopped
//! before it received the rows, they would wait until their leases expire. A shutdown therefore has
//! these steps:
//!
//! 1. Allow no new inline claim.
//! 2. Wait for the inline claim in flight, at most [`INLINE_CLAIM_WAIT_MAX`].
//! 3. Give its rows to the dispatcher.
//! 4. Give [`Input::ShutdownRequested`](tidegate_core::Input::ShutdownRequested) to the dispatcher.
//!
//! During step 2 the loop handles all other events. The loop also performs steps 3 and 4.

use tidegate_ports::{WakeHandle, WakeUp};
use tokio::time::{Duration, Instant};

/// The longest wait of a shutdown for an inline claim. A slow or hanging transaction delays a
/// shutdown by at most this time.
const INLINE_CLAIM_WAIT_MAX: Duration = Duration::from_secs(1);

/// The state of a shutdown. Dropping this value disables inline claims, because no driver is left
/// to take their rows.
#[derive(Debug)]
pub(crate) struct Shutdown {
    wake: WakeHandle,
    /// The end of step 2, while that step lasts.
    deadline: Option<Instant>,
}

impl Shutdown {
    pub(crate) const fn new(wake: WakeHandle) -> Self {
        Self { wake, deadline: None }
    }

    /// Begins a shutdown. Another request during the wait does not extend the wait.
    pub(crate) fn begin(&mut self) {
        self.wake.disable_inline_claims();
        self.deadline.get_or_insert_with(|| Instant::now() + INLINE_CLAIM_WAIT_MAX);
    }

    /// Waits until no inline claim is in flight or the wait has reached its limit. Never returns
    /// before a call of [`Self::begin`].
    pub(crate) async fn inline_claims_ended(&self) {
        match self.deadline {
            Some(deadline) => self.wake.inline_claim_ended(deadline).await,
            None => std::future::pending().await,
        }
    }

    /// Ends the wait and returns the last wake-up, with the rows of the last inline claim.
    pub(crate) fn end_wait(&mut self) -> WakeUp {
        self.deadline = None;
        self.wake.take_wake_up()
    }
}

impl Drop for Shutdown {
    fn drop(&mut self) {
        self.wake.disable_inline_claims();
    }
}
