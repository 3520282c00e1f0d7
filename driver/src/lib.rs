//! The ports of Tidegate, and the one async loop that drives the core against them.

mod caller;
mod drive;
mod gate;
mod ports;
mod wake;

pub use caller::{DispatcherEnded, SyncCaller};
pub use drive::{Command, DriverPorts, Observer, drive};
pub use gate::GateHandle;
pub use ports::*;
pub use wake::{Carried, Offer, Room, WakeHandle, Woken};
