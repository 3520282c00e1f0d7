//! Runs scripts: ES modules in QuickJS, each execution in an isolate of its own with limits on memory, stack, wall
//! clock and CPU.
//!
//! What a script writes and emits is only staged; the outcome carries it to the settlement of its delivery. A script
//! has no file system, no environment and no network. It runs on a thread of its own, never on the async runtime.

mod acting;
mod check;
mod executor;
mod failure;
mod host;
mod isolate;
mod limits;
mod pool;
mod reply;
mod sources;
mod staged;

pub use acting::acting;
pub use check::{CompileError, check};
pub use executor::{ScriptExecutor, Stats};
pub use limits::{InvalidLimits, Limits};
