//! The execution gate of a running dispatcher, as operators see it.

use crate::{Command, DispatcherEnded};
use tidegate_core::{GateLimits, View};
use tokio::sync::{mpsc, watch};

/// Looks at one dispatcher's gate and changes its limits. Cheap to clone.
#[derive(Clone, Debug)]
pub struct GateHandle {
    commands: mpsc::Sender<Command>,
    view: watch::Receiver<View>,
}

impl GateHandle {
    /// `commands` leads to the dispatcher that shows itself in `view`.
    #[must_use]
    pub fn new(commands: mpsc::Sender<Command>, view: watch::Receiver<View>) -> Self {
        Self { commands, view }
    }

    /// What the dispatcher holds.
    #[must_use]
    pub fn view(&self) -> View {
        *self.view.borrow()
    }

    /// The limits in force.
    #[must_use]
    pub fn limits(&self) -> GateLimits {
        let View { permits, sync_reserve, .. } = self.view();
        GateLimits { permits, sync_reserve }
    }

    /// Puts other limits in force and waits until they are. Limits out of range change nothing: check them before.
    pub async fn change(&self, limits: GateLimits) -> Result<(), DispatcherEnded> {
        let mut view = self.view.clone();
        self.commands.send(Command::ChangeGate(limits)).await.map_err(|_| DispatcherEnded)?;
        let in_force = |view: &View| (view.permits, view.sync_reserve) == (limits.permits, limits.sync_reserve);
        view.wait_for(in_force).await.map(drop).map_err(|_| DispatcherEnded)
    }
}
