//! The async loop that runs the dispatcher of `tidegate-core` against its ports.

mod caller;
mod drivable;
mod drive;
mod executions;
mod gate;
mod shutdown;
mod tasks;

pub use caller::{DispatcherEnded, SyncCaller};
pub use drivable::Drivable;
pub use drive::{Command, DriverPorts, drive, drive_dispatcher};
pub use gate::GateHandle;
