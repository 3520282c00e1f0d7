//! The execution gate of a running dispatcher: reads its state and changes its limits.

use crate::{Command, DispatcherEnded};
use tidegate_core::{GateLimits, View};
use tokio::sync::{mpsc, watch};

/// A handle on the gate of one dispatcher. Cheap to clone.
#[derive(Clone, Debug)]
pub struct GateHandle {
    commands: mpsc::Sender<Command>,
    view: watch::Receiver<View>,
}

impl GateHandle {
    /// `commands` must lead to the dispatcher that publishes `view`.
    #[must_use]
    pub fn new(commands: mpsc::Sender<Command>, view: watch::Receiver<View>) -> Self {
        Self { commands, view }
    }

    /// The state of the dispatcher when it last began to wait.
    #[must_use]
    pub fn view(&self) -> View {
        *self.view.borrow()
    }

    /// The limits in force.
    #[must_use]
    pub fn limits(&self) -> GateLimits {
        let View { permits, sync_reserve, async_reserve, .. } = self.view();
        GateLimits { permits, sync_reserve, async_reserve }
    }

    /// Changes the limits and waits until they are in force.
    ///
    /// The dispatcher ignores limits that are out of range, and this call then waits until the
    /// dispatcher ends. Check the limits first.
    pub async fn change(&self, limits: GateLimits) -> Result<(), DispatcherEnded> {
        let mut view = self.view.clone();
        self.commands.send(Command::ChangeGate(limits)).await.map_err(|_| DispatcherEnded)?;
        let in_force = |view: &View| {
            let View { permits, sync_reserve, async_reserve, .. } = *view;
            GateLimits { permits, sync_reserve, async_reserve } == limits
        };
        view.wait_for(in_force).await.map(drop).map_err(|_| DispatcherEnded)
    }
}
