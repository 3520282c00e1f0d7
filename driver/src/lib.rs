//! The async loop that runs the dispatcher of `tidegate-core` against its ports.

mod caller;
mod drive;
mod gate;
mod shutdown;
mod tasks;

pub use caller::{DispatcherEnded, SyncCaller};
pub use drive::{Command, DriverPorts, drive};
pub use gate::GateHandle;
