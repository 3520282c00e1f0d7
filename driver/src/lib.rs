//! The ports of Tidegate, and the one async loop that drives the core against them.

mod ports;
mod wake;

pub use ports::*;
pub use wake::{WakeHandle, Woken};
