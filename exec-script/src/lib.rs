//! Runs scripts: ES modules in QuickJS, each execution with limits on memory, stack, wall clock and CPU.
//!
//! An execution has its isolate to itself. It gets one that the same script has run in before, for the same trigger and
//! the same principal, if there is one and the trigger does not want a fresh one. So a module's variables may survive from
//! one execution to the next, and never reach another script, version, trigger, principal or app. One that is fresh begins
//! from the memory that an isolate had before any script was loaded in it.
//!
//! What a script writes and emits is only staged; the outcome carries it to the settlement of its delivery. A script
//! has no file system, no environment and no network. It runs on a thread of its own, never on the async runtime.

mod acting;
mod bytecode;
mod check;
mod execution;
mod executor;
mod failure;
mod guard;
mod host;
mod isolate;
mod isolations;
mod ledger;
mod limits;
mod load;
mod memory;
mod pool;
mod prelude;
mod random;
mod reply;
mod shelf;
mod slot;
mod sources;
mod staged;
mod worker;

pub use acting::acting;
pub use check::{CompileError, check};
pub use executor::{ScriptExecutor, Stats, World};
pub use limits::{InvalidLimits, Limits};
