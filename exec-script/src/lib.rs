//! Runs scripts: ES modules in QuickJS. Each execution has limits on memory, stack, wall clock and
//! CPU time.
//!
//! An execution has its isolate to itself. It reuses an isolate of an earlier execution of the same
//! script, version, trigger and principal, unless the trigger has `isolation = "fresh"`. So the
//! variables of a module may survive from one execution to the next. They never reach another
//! script, version, trigger, principal or app. A fresh execution starts from the memory that its
//! isolate had before any script was loaded.
//!
//! The writes and events of a script are staged. The outcome carries them to the settlement of the
//! delivery, which applies them. A script has no file system, no environment and no network. It
//! runs on a thread of the executor's pool, never on the async runtime.

mod acting;
mod apps;
mod arena;
mod bytecode;
mod check;
mod console;
mod execution;
mod executor;
mod failure;
mod guard;
mod host;
mod host_slot;
mod idle_registry;
mod isolate;
mod isolate_cache;
mod isolations;
mod job;
mod limits;
mod load;
mod memory;
mod memory_room;
mod pool;
mod prelude;
mod random;
mod rejections;
mod reply;
mod schedule;
mod scope;
mod sources;
mod staged;
mod text;
mod threads;
mod worker;

pub use acting::acting;
pub use check::{CompileError, check};
pub use executor::{ScriptExecutor, Stats, World};
pub use limits::{InvalidLimits, Limits};
