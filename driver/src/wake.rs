//! How the rest of the process tells the dispatcher that rows may have come.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_core::TriggerId;
use tokio::sync::Notify;

/// Wakes one dispatcher. Cheap to clone; wakes that come before the dispatcher looks are one.
#[derive(Clone, Debug, Default)]
pub struct WakeHandle {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    notify: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    lanes: BTreeSet<TriggerId>,
    somewhere: bool,
}

/// What woke the dispatcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Woken {
    /// Lanes that got rows.
    pub lanes: Vec<TriggerId>,
    /// Whether other lanes may have got rows too.
    pub somewhere: bool,
}

impl WakeHandle {
    /// Rows have come into these lanes. Call it after their transaction has committed.
    pub fn wake(&self, lanes: impl IntoIterator<Item = TriggerId>) {
        let mut pending = self.lock();
        let before = pending.lanes.len();
        pending.lanes.extend(lanes);
        let changed = pending.lanes.len() != before;
        drop(pending);
        if changed {
            self.shared.notify.notify_one();
        }
    }

    /// Rows may have come somewhere: a notification from another process, or a connection that was lost and is back.
    pub fn wake_somewhere(&self) {
        self.lock().somewhere = true;
        self.shared.notify.notify_one();
    }

    /// Waits for the next wake. One task at a time: the driver, in a daemon.
    pub async fn woken(&self) -> Woken {
        loop {
            let pending = std::mem::take(&mut *self.lock());
            if pending.somewhere || !pending.lanes.is_empty() {
                return Woken { lanes: pending.lanes.into_iter().collect(), somewhere: pending.somewhere };
            }
            self.shared.notify.notified().await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pending> {
        // A panic while holding this lock leaves nothing half done.
        self.shared.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
